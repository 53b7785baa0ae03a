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

create table evaluation (
    evaluation_id   bigint generated always as identity primary key,
    name            text not null,
    run_id          bigint references run,
    architecture_id bigint references architecture,
    model_id        bigint references model,
    shape_hash      text not null,
    spec            jsonb not null,        -- as asked: tasks, context, batch_tokens, threads...
    job_id          bigint not null unique references job,
    created_at      timestamptz not null default now(),
    constraint name_has_1_to_200_characters check (length(name) between 1 and 200),
    constraint an_evaluation_is_of_one_thing check (num_nonnulls(run_id, architecture_id, model_id) = 1)
);
create index evaluation_of_run on evaluation (run_id);
create index evaluation_of_architecture on evaluation (architecture_id);
create index evaluation_of_model on evaluation (model_id);

-- A finished task. A trainer that resumed may say it again.
create table evaluation_result (
    evaluation_id bigint not null references evaluation on delete cascade,
    task          text not null,
    form          text not null,
    items         bigint not null,
    metrics       jsonb not null,
    file_sha256   jsonb not null,          -- of the files that the task was read from
    host          text,                    -- the machine, which measured times are of
    at            timestamptz not null default now(),
    primary key (evaluation_id, task),
    constraint metrics_have_names check (jsonb_typeof(metrics) = 'object')
);
create index evaluation_result_by_form on evaluation_result (form, evaluation_id);

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

-- What evaluations found so far: "arc_easy: acc 0.3120, acc_norm 0.2990 (eval_2); ..."
create function scores_of(p_run_id bigint, p_architecture_id bigint, p_model_id bigint) returns text
language sql stable as $$
    select string_agg(task || ': ' || numbers || ' (eval_' || evaluation_id || ')', '; ' order by evaluation_id, task)
      from (select e.evaluation_id, r.task, string_agg(m.name || ' ' || round((r.metrics ->> m.name)::numeric, 4), ', '
                                                       order by m.place) as numbers
              from evaluation e join evaluation_result r using (evaluation_id),
                   unnest('{acc,acc_norm,perplexity,word_perplexity,bits_per_byte}'::text[])
                       with ordinality m (name, place)
             where (e.run_id = p_run_id or e.architecture_id = p_architecture_id or e.model_id = p_model_id)
               and r.metrics ->> m.name is not null
             group by e.evaluation_id, r.task
             order by e.evaluation_id desc limit 20) newest
$$;

create function card_of(p_run_id bigint, p_architecture_id bigint, p_model_id bigint) returns jsonb
language sql stable as $$
    select card || jsonb_build_object('scores', nullif(left(concat_ws(
               '; ', card ->> 'scores', scores_of(p_run_id, p_architecture_id, p_model_id)), 3000), ''))
      from (select coalesce(card_of_run(p_run_id), card_of_architecture(p_architecture_id),
                            (select jsonb_build_object('name', m.name, 'source', 'model mod_' || m.model_id || ' ('
                                 || m.name || ')' || coalesce(', ' || grouped(m.params) || ' parameters', ''))
                               from model m where m.model_id = p_model_id)) as card) c
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

-- ---- evaluations ----------------------------------------------------------------------------------

-- {name, run_id, architecture_id, model_id, shape_hash, needs_weights, priority, spec, document}
create function evaluation_create(p jsonb) returns bigint
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
    job := job_add('evaluate', p -> 'document' || jsonb_build_object('name', subject_of(run, architecture, model)),
                   coalesce((p ->> 'priority')::int, 0), null, weights);
    insert into evaluation (name, run_id, architecture_id, model_id, shape_hash, spec, job_id)
    values (p ->> 'name', run, architecture, model, p ->> 'shape_hash', p -> 'spec', job)
    returning evaluation_id into id;
    perform job_name(job, 'eval_' || id);
    return id;
end $$;

create function files_at(p_files jsonb, p_dir text) returns jsonb
language sql immutable as $$
    select jsonb_agg(file || jsonb_build_object('path', p_dir || '/' || (file ->> 'path')) order by n)
      from jsonb_array_elements(p_files) with ordinality f (file, n)
$$;

-- As 0001, with the files of an evaluation's tasks.
create or replace function job_document(j job, p_jobs_dir text, p_uploads_dir text) returns jsonb
language sql stable as $$
    select j.document
        || jsonb_build_object('schema', 'lathe.job/1', 'kind', j.kind, 'job_id', 'job_' || j.job_id,
                              'work_dir', p_jobs_dir || '/job_' || j.job_id)
        || case when j.data_job_id is null then '{}'
                else jsonb_build_object('data', jsonb_build_object(
                         'path', p_jobs_dir || '/job_' || j.data_job_id || '/result')) end
        || case when j.model_path is null then '{}'
                else jsonb_build_object('model', coalesce(j.document -> 'model', '{}')
                         || jsonb_build_object('path', p_jobs_dir || '/' || j.model_path)) end
        || case when j.document #> '{tokenizer,path}' is null then '{}'
                else jsonb_build_object('tokenizer', j.document -> 'tokenizer' || jsonb_build_object(
                         'path', p_uploads_dir || '/' || (j.document #>> '{tokenizer,path}'))) end
        || case when j.document -> 'files' is null then '{}'
                else jsonb_build_object('files', files_at(j.document -> 'files', p_uploads_dir)) end
        || case when j.document -> 'tasks' is null then '{}'
                else jsonb_build_object('tasks', (
                         select jsonb_agg(case when task -> 'files' is null then task
                                               else task || jsonb_build_object(
                                                        'files', files_at(task -> 'files', p_uploads_dir))
                                          end order by n)
                           from jsonb_array_elements(j.document -> 'tasks') with ordinality t (task, n)))
           end
$$;

create function evaluation_store(inout j job, p_line jsonb, out is_news boolean)
language plpgsql as $$
begin
    j.failures := 0;
    insert into evaluation_result as r (evaluation_id, task, form, items, metrics, file_sha256, host)
    select e.evaluation_id, p_line ->> 'task', p_line ->> 'form', (p_line ->> 'items')::bigint,
           p_line -> 'metrics', coalesce(p_line -> 'file_sha256', '[]'),
           (select host from worker where worker_id = j.worker_id)
      from evaluation e where e.job_id = j.job_id
    on conflict (evaluation_id, task) do update
       set form = excluded.form, items = excluded.items, metrics = excluded.metrics,
           file_sha256 = excluded.file_sha256, host = excluded.host, at = now()
     where (r.form, r.items, r.metrics, r.file_sha256)
           is distinct from (excluded.form, excluded.items, excluded.metrics, excluded.file_sha256);
    is_news := found;
end $$;

-- A file that is finished. A trainer that was killed before its end writes it again, with another date.
create function file_store(j job, p_line jsonb) returns boolean
language plpgsql as $$
begin
    insert into artifact as a (subject, job_id, path, name, bytes, sha256)
    values (j.subject, j.job_id, p_line ->> 'path', regexp_replace(p_line ->> 'path', '^.*/', ''),
            (p_line ->> 'bytes')::bigint, p_line ->> 'sha256')
    on conflict (job_id, path) do update set bytes = excluded.bytes, sha256 = excluded.sha256
     where a.sha256 is distinct from excluded.sha256;
    return found;
end $$;

-- As 0003, and the results of an evaluation and files.
create or replace function line_store(inout b batch, p_line jsonb, out is_news boolean)
language plpgsql as $$
declare
    what constant text := p_line ->> 'event';
    j job := b.j;
    stored record;
begin
    is_news := true;
    case what
    when 'heartbeat' then
        is_news := false;
    when 'start' then
        b := start_store(b, p_line);
        return;
    when 'step' then
        stored := step_store(j, p_line);
        j := stored.j;
        is_news := stored.is_news;
    when 'validation' then
        stored := validation_store(j, p_line);
        j := stored.j;
        is_news := stored.is_news;
    when 'evaluation' then
        stored := evaluation_store(j, p_line);
        j := stored.j;
        is_news := stored.is_news;
    when 'file' then
        is_news := file_store(j, p_line);
    when 'removal' then
        if (b.s).search_id is null then return; end if;
        stored := removal_store(b, p_line);
        b := stored.b;
        is_news := stored.is_news;
        return;
    when 'snapshot' then
        is_news := snapshot_store((b.s).search_id, p_line);
    when 'checkpoint' then
        j.failures := 0;
    when 'progress' then
        j.done_units := p_line ->> 'done';
        j.total_units := p_line ->> 'total';
        j.unit := p_line ->> 'unit';
    when 'done' then
        j.result := p_line - 'event' - 'seq' - 'time';
        j.loss := coalesce((p_line ->> 'loss')::float8, j.loss);
        j.validation_loss := coalesce((p_line ->> 'validation_loss')::float8, j.validation_loss);
    when 'error' then
        j.error := p_line - 'event' - 'seq' - 'time';
    else
        null;  -- a newer trainer may say more; pass it on
    end case;
    b.j := j;
end $$;

create function evaluation_results(e evaluation) returns jsonb
language sql stable as $$
    select coalesce(jsonb_agg(jsonb_build_object('task', r.task, 'form', r.form, 'items', r.items,
                                                 'metrics', r.metrics, 'file_sha256', r.file_sha256,
                                                 'host', r.host, 'at', to_char(r.at at time zone 'UTC',
                                                                               'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
                              order by t.n), '[]')
      from evaluation_result r
      join jsonb_array_elements(e.spec -> 'tasks') with ordinality t (task, n) on t.task ->> 'name' = r.task
     where r.evaluation_id = e.evaluation_id
$$;

create function files_of_job(p_job_id bigint) returns jsonb
language sql stable as $$
    select coalesce(jsonb_agg(jsonb_build_object('artifact', 'art_' || artifact_id, 'name', name,
                                                 'bytes', bytes, 'sha256', sha256) order by artifact_id), '[]')
      from artifact where job_id = p_job_id
$$;

-- What was measured of a shape; metrics holds the rest, such as what llama-bench says.
create view shape_latency as
    select e.shape_hash, e.evaluation_id, r.task, r.host, j.backend,
           (r.metrics ->> 'threads')::float8::int as threads,
           (r.metrics ->> 'prompt_tokens')::float8::int as prompt_tokens,
           (r.metrics ->> 'generate_tokens')::float8::int as generate_tokens,
           (r.metrics ->> 'prefill_tokens_per_second')::float8 as prefill_tokens_per_second,
           (r.metrics ->> 'time_to_first_token_ms')::float8 as time_to_first_token_ms,
           (r.metrics ->> 'ms_per_token')::float8 as ms_per_token,
           (r.metrics ->> 'decode_tokens_per_second')::float8 as decode_tokens_per_second,
           r.metrics, r.at
      from evaluation_result r join evaluation e using (evaluation_id) join job j using (job_id)
     where r.form = 'latency';

-- Milliseconds a generated token, by the newest measurement of a shape; every architecture of that
-- shape has it.
create or replace function architecture_latencies()
returns table (architecture_id bigint, milliseconds double precision)
language sql stable as $$
    select a.architecture_id, l.ms_per_token
      from (select distinct on (shape_hash) shape_hash, ms_per_token
              from shape_latency order by shape_hash, at desc, evaluation_id desc) l
      join architecture a using (shape_hash)
$$;

-- ---- the end of a model ---------------------------------------------------------------------------

-- "srch_2, exp_1, eval_3": the first ten things that refer to a model; null when nothing does.
create function model_users(p_model_id bigint) returns text
language sql stable as $$
    select string_agg(id, ', ' order by kind, n)
      from (select 1 as kind, search_id as n, 'srch_' || search_id as id from search where model_id = p_model_id
            union all
            select 2, export_id, 'exp_' || export_id from export where model_id = p_model_id
            union all
            select 3, evaluation_id, 'eval_' || evaluation_id from evaluation where model_id = p_model_id
            order by kind, n limit 10) u
$$;

-- The number of its job, whose folder may go now; null when there is no such model.
create function model_delete(p_model_id bigint, p_seen text[]) returns bigint
language plpgsql as $$
declare
    m model;
    j job;
    users text;
begin
    perform event_lock();
    select * into m from model where model_id = p_model_id for update;
    if not found then return null; end if;
    select * into j from job where job_id = m.job_id for update;
    users := model_users(p_model_id);
    if not coalesce(job_version(j) = any (p_seen) or '*' = any (p_seen), true) then
        raise exception '% is % now, it has changed since you looked', j.subject, j.state using errcode = 'LT412';
    elsif not is_over(j.state) then
        raise exception '% is %; cancel job_% first', j.subject, j.state, j.job_id using errcode = 'LT409';
    elsif users is not null then
        raise exception '% cannot go, for these refer to it: %', j.subject, users using errcode = 'LT409';
    end if;
    delete from artifact where job_id = j.job_id;
    delete from model where model_id = p_model_id;
    perform event_add(j.subject, 'deleted', jsonb_build_object('id', j.subject));
    return j.job_id;
end $$;
