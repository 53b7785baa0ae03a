-- What a model is good for outside: exports in the forms that others load, and evaluations. Both
-- are of a run, of an architecture's kept weights, or of a model that was brought in.

-- 'evaluate' is what lathe-train calls it.
alter table job drop constraint kind_is_known;
alter table job add constraint kind_is_known check (
    kind in ('dataset', 'import', 'search', 'train', 'export', 'evaluate'));

alter table artifact add column bytes bigint;  -- null when nobody counted them

create table export (
    export_id       bigint generated always as identity primary key,
    name            text not null,
    run_id          bigint references run,
    architecture_id bigint references architecture,
    model_id        bigint references model,
    shape_hash      text not null,
    spec            jsonb not null,        -- as asked: targets, prompts
    job_id          bigint not null unique references job,
    created_at      timestamptz not null default now(),
    constraint name_has_1_to_200_characters check (length(name) between 1 and 200),
    constraint an_export_is_of_one_thing check (num_nonnulls(run_id, architecture_id, model_id) = 1)
);
create index export_of_run on export (run_id);
create index export_of_architecture on export (architecture_id);
create index export_of_model on export (model_id);

-- "run_3", "arch_9" or "mod_1".
create function subject_of(p_run_id bigint, p_architecture_id bigint, p_model_id bigint) returns text
language sql immutable as $$
    select coalesce('run_' || p_run_id, 'arch_' || p_architecture_id, 'mod_' || p_model_id)
$$;

-- Where the weights of one of these lie below the folder of jobs; null when there are none (yet).
create function weights_of(p_run_id bigint, p_architecture_id bigint, p_model_id bigint) returns text
language sql stable as $$
    select 'job_' || j.job_id || '/result' from run r join job j using (job_id)
     where r.run_id = p_run_id and j.state = 'succeeded'
    union all
    select 'job_' || s.job_id || '/' || a.snapshot from architecture a join search s using (search_id)
     where a.architecture_id = p_architecture_id and a.snapshot is not null
    union all
    select 'job_' || j.job_id || '/result' from model m join job j using (job_id)
     where m.model_id = p_model_id and j.state = 'succeeded'
$$;

-- The four architectures of a search that kept their weights and are nearest to one, for people.
create function kept_near(p_search_id bigint, p_ordinal int) returns text
language sql stable as $$
    select string_agg(format('arch_%s (ratio %s)', architecture_id, round(ratio::numeric, 3)), ', ' order by ratio)
      from (select architecture_id, ratio from architecture
             where search_id = p_search_id and snapshot is not null
             order by abs(ordinal - p_ordinal) limit 4) n
$$;

create function grouped(n bigint) returns text
language sql immutable as $$ select trim(to_char(n, '999,999,999,999,999,999')) $$;

-- What a model card says of a search and an architecture of it.
create function card_of_architecture(p_architecture_id bigint) returns jsonb
language sql stable as $$
    select jsonb_build_object(
        'name', s.name || ', ' || round(100 * a.ratio::numeric) || ' % removed',
        'source', coalesce('model mod_' || m.model_id || ' (' || m.name || ')',
                           'weights of ' || (s.spec #>> '{source,architecture}'),
                           'trained in the search from random weights')
                  || ', ' || grouped(s.params_source) || ' parameters',
        'data', 'data_' || d.dataset_id || ' (' || d.name || ')'
                || coalesce(', ' || grouped(d.tokens) || ' tokens', '') || ', tokenizer ' || d.tokenizer,
        'search', 'srch_' || s.search_id || ' (' || s.name || '), removals: ' || grouped(a.ordinal)
                  || ', criterion '
                  || coalesce(s.options #>> '{criterion,name}', 'default')
                  || ', seed ' || s.seed,
        'ratio', round(100 * a.ratio::numeric, 2) || ' % of the source''s parameters removed: arch_'
                 || a.architecture_id || ', ' || grouped(a.params) || ' parameters left',
        'budget', grouped(a.tokens) || ' tokens in the search')
      from architecture a join search s using (search_id) join dataset d using (dataset_id)
      left join model m on m.model_id = s.model_id
     where a.architecture_id = p_architecture_id
$$;

create function card_of_run(p_run_id bigint) returns jsonb
language sql stable as $$
    select coalesce(card_of_architecture(r.architecture_id), '{}') || jsonb_build_object(
        'name', r.name,
        'data', 'data_' || d.dataset_id || ' (' || d.name || ')'
                || coalesce(', ' || grouped(d.tokens) || ' tokens', '') || ', tokenizer ' || d.tokenizer,
        'budget', 'run_' || r.run_id || ': ' || grouped(j.tokens) || ' tokens, '
                  || case r.init when 'inherit' then 'from the search''s weights' else 'from random weights' end
                  || ', seed ' || r.seed)
        || case when j.validation_loss is null then '{}'
                else jsonb_build_object('scores', 'validation loss ' || round(j.validation_loss::numeric, 4)
                                                  || ' nats a token') end
      from run r join job j using (job_id) join dataset d using (dataset_id)
     where r.run_id = p_run_id
$$;

create function card_of(p_run_id bigint, p_architecture_id bigint, p_model_id bigint) returns jsonb
language sql stable as $$
    select coalesce(card_of_run(p_run_id), card_of_architecture(p_architecture_id),
                    (select jsonb_build_object('name', m.name, 'source', 'model mod_' || m.model_id || ' ('
                                               || m.name || ')' || coalesce(', ' || grouped(m.params) || ' parameters', ''))
                       from model m where m.model_id = p_model_id))
$$;

-- {name, run_id, architecture_id, model_id, shape_hash, needs_weights, priority, spec, document}
create function export_create(p jsonb) returns bigint
language plpgsql as $$
declare
    id bigint;
    job bigint;
    run constant bigint := p ->> 'run_id';
    architecture constant bigint := p ->> 'architecture_id';
    model constant bigint := p ->> 'model_id';
    weights text;
begin
    perform event_lock();
    if (p ->> 'needs_weights')::boolean then
        weights := weights_of(run, architecture, model);
        if weights is null then
            raise exception '% has no weights', subject_of(run, architecture, model) using errcode = 'LT409';
        end if;
    end if;
    job := job_add('export', p -> 'document' || jsonb_build_object('card', card_of(run, architecture, model)),
                   coalesce((p ->> 'priority')::int, 0), null, weights);
    insert into export (name, run_id, architecture_id, model_id, shape_hash, spec, job_id)
    values (p ->> 'name', run, architecture, model, p ->> 'shape_hash', p -> 'spec', job)
    returning export_id into id;
    perform job_name(job, 'exp_' || id);
    return id;
end $$;

-- The files of an export become artifacts when it has succeeded: name, size and checksum as the
-- trainer reported them.
create function export_artifacts() returns trigger
language plpgsql as $$
begin
    insert into artifact (subject, job_id, path, name, bytes, sha256)
    select new.subject, new.job_id, format('result/%s/%s', t ->> 'path', f ->> 'name'), f ->> 'name',
           (f ->> 'bytes')::bigint, f ->> 'sha256'
      from jsonb_array_elements(new.result #> '{export,targets}') with ordinality a (t, n),
           jsonb_array_elements(t -> 'files') with ordinality b (f, k)
     order by n, k
    on conflict do nothing;
    return null;
end $$;
create trigger export_artifacts after update of state on job
    for each row when (new.state = 'succeeded' and new.kind = 'export')
    execute function export_artifacts();

-- Targets as they were asked for, each with what was written for it once it was.
create function export_targets(p_spec jsonb, j job) returns jsonb
language sql stable as $$
    select jsonb_agg(jsonb_build_object(
        'format', asked ->> 'format', 'dtype', asked ->> 'dtype',
        'architecture', done ->> 'architecture', 'params', done -> 'params',
        'params_stored', done -> 'params_stored', 'overhead', done -> 'overhead',
        'parity', done -> 'parity', 'runtimes', coalesce(done -> 'runtimes', '[]'),
        'files', coalesce((select jsonb_agg(jsonb_build_object(
                               'artifact', 'art_' || f.artifact_id, 'name', f.name, 'bytes', f.bytes,
                               'sha256', f.sha256) order by f.artifact_id)
                             from artifact f
                            where f.job_id = j.job_id
                              and starts_with(f.path, format('result/%s/', done ->> 'path'))), '[]'))
        order by n)
      from jsonb_array_elements(p_spec -> 'targets') with ordinality a (asked, n),
           lateral (select j.result #> array['export', 'targets', (n - 1)::text]) b (done)
$$;
