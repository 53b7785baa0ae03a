-- Files that people may fetch, and searches that start where another one was.

-- A file in a job's folder. It never changes once it is named here; there may be none at its place
-- (a byte tokenizer has no tokenizer.json everywhere), which is found out when it is opened.
create table artifact (
    artifact_id bigint generated always as identity primary key,
    subject     text not null,             -- what it is of: arch_9, run_3, mod_1
    job_id      bigint not null references job on delete cascade,
    path        text not null,             -- below the job's folder
    name        text not null,
    sha256      text,
    created_at  timestamptz not null default now(),
    constraint one_artifact_per_file unique (job_id, path),
    constraint path_stays_inside check (path !~ '(^/|(^|/)\.\.?(/|$))')
);
create index artifact_of_subject on artifact (subject);

create function artifacts_add(p_subject text, p_job_id bigint, p_folder text, p_sha256 text) returns void
language sql as $$
    insert into artifact (subject, job_id, path, name, sha256)
    select p_subject, p_job_id, p_folder || '/' || name, name,
           case when name = 'model.safetensors' then p_sha256 end
      from unnest('{config.json,model.safetensors,shape.json,tokenizer.json}'::text[]) name
    on conflict do nothing
$$;

create function snapshot_artifacts() returns trigger
language plpgsql as $$
begin
    perform artifacts_add('arch_' || new.architecture_id, s.job_id, new.snapshot, new.snapshot_sha256)
       from search s where s.search_id = new.search_id;
    return null;
end $$;
create trigger snapshot_artifacts after update of snapshot on architecture
    for each row when (new.snapshot is not null) execute function snapshot_artifacts();

create function result_artifacts() returns trigger
language plpgsql as $$
begin
    perform artifacts_add(new.subject, new.job_id, 'result', new.result ->> 'sha256');
    return null;
end $$;
create trigger result_artifacts after update of state on job
    for each row when (new.state = 'succeeded' and new.kind in ('train', 'import'))
    execute function result_artifacts();

-- As 0004, and {architecture_id}: the search starts from that architecture's kept weights.
create or replace function search_create(p jsonb) returns bigint
language plpgsql as $$
declare
    id bigint;
    job bigint;
    data_job constant bigint := (select job_id from dataset where dataset_id = (p ->> 'dataset_id')::bigint);
    weights constant text := coalesce(
        (select 'job_' || job_id || '/result' from model where model_id = (p ->> 'model_id')::bigint),
        (select 'job_' || s.job_id || '/' || a.snapshot from architecture a join search s using (search_id)
          where a.architecture_id = (p ->> 'architecture_id')::bigint));
    params constant bigint := (p #>> '{totals,params}')::bigint;
begin
    perform event_lock();
    job := job_add('search', p -> 'document', coalesce((p ->> 'priority')::int, 0), data_job, weights);
    insert into search (name, dataset_id, model_id, spec, options, seed, context, source_shape, source_hash,
                        params_source, job_id, hidden, head_dim, q_heads, kv_heads, ffn)
    values (p ->> 'name', (p ->> 'dataset_id')::bigint, (p ->> 'model_id')::bigint, p -> 'spec', p -> 'options',
            (p ->> 'seed')::bigint, (p ->> 'context')::int, p -> 'source_shape', p ->> 'source_hash',
            params, job, (p ->> 'hidden')::int, (p ->> 'head_dim')::int,
            ints(p -> 'q_heads'), ints(p -> 'kv_heads'), ints(p -> 'ffn'))
    returning search_id into id;
    insert into architecture (search_id, ordinal, step, tokens, params, params_non_embedding, flops_per_token,
                              kv_bytes_per_token, ratio, shape_hash)
    values (id, 0, 0, 0, params, (p #>> '{totals,params_non_embedding}')::bigint,
            (p #>> '{totals,flops_per_token}')::bigint, (p #>> '{totals,kv_bytes_per_token}')::bigint, 0,
            p ->> 'source_hash');
    perform job_name(job, 'srch_' || id);
    return id;
end $$;

-- What somebody would POST to make this search again.
create function search_body(p_search_id bigint) returns jsonb
language sql stable as $$
    select jsonb_build_object('name', left(s.name || ' again', 200), 'dataset', 'data_' || s.dataset_id)
        || s.options || (s.spec - 'source')
        || jsonb_build_object('source', jsonb_strip_nulls(s.spec -> 'source')
            || case when s.spec #>> '{source,model}' is null and s.spec #>> '{source,architecture}' is null
                    then jsonb_build_object('shape', s.source_shape) else '{}' end)
      from search s where s.search_id = p_search_id
$$;
