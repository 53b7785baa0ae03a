-- Resources come with their jobs; comparisons follow their runs; intervals are Student's.
select worker_start('ada', 'here', 1, 8, '{cpu}') as ada;
select dataset_create('{"name": "text", "tokenizer": "bytes", "spec": {}, "document": {"files": [{"path": "ab", "format": "text"}]}}');
select model_create('{"name": "m", "spec": {}, "document": {"files": [{"path": "cd", "name": "config.json"}]}}');
select search_create('{"name": "s", "dataset_id": 1, "model_id": 1, "spec": {}, "options": {}, "seed": 1, "context": 8,
    "source_shape": {}, "source_hash": "h", "totals": {"params": 10, "params_non_embedding": 8, "flops_per_token": 60, "kv_bytes_per_token": 4},
    "hidden": 4, "head_dim": 2, "q_heads": [2], "kv_heads": [1], "ffn": [3], "document": {"backend": "cpu"}}');
select run_create('{"name": "r", "architecture_id": 1, "init": "inherit", "dataset_id": 1, "shape": {}, "shape_hash": "h", "params": 10, "seed": 1, "budget_tokens": 100, "spec": {}, "document": {}}');
update architecture set snapshot = 'snapshots/0';
\set run '{"name": "r", "architecture_id": 1, "dataset_id": 1, "shape": {}, "shape_hash": "h", "params": 10, "seed": 1, "budget_tokens": 100, "spec": {}, "document": {}, "init": '
select comparison_create(jsonb_build_object('name', 'c', 'architecture_id', 1, 'dataset_id', 1,
    'budget_rule', 'train_matched', 'budget_tokens', 100, 'spec', '{}'::jsonb, 'runs',
    (select jsonb_agg(jsonb_build_object('arm', arm, 'seed', seed, 'run', (:'run' || case arm when 'inherit' then '"inherit"}' else '"reinit"}' end)::jsonb))
       from unnest('{inherit,reinit,human}'::text[]) arm, generate_series(1, 3) seed)));
select job_id, kind, subject, data_job_id, model_path, backend from job order by job_id;
select document -> 'files', job_document(j, '/jobs', '/up') -> 'files' from job j where job_id < 3;
select job_document(j, '/jobs', '/up') from job j where job_id = 3;

create function run_to(p_job bigint, p_state job_state, p_loss float8) returns job_state language plpgsql as $$
begin
    perform job_move(p_job, 'starting', null, 1, '1 hour');
    perform job_move(p_job, 'running', null);
    update job set validation_loss = p_loss where job_id = p_job;
    if p_state <> 'running' then perform job_move(p_job, p_state, 'so'); end if;
    return (select state from comparison);
end $$;
select min(job_id) as first from job where kind = 'train' \gset
select state from comparison;
select run_to(:first, 'running', null);
select job_move(:first, 'succeeded', null) is not null, state from comparison;
update job set validation_loss = 3.0 where job_id = :first;
select run_to(:first + 1, 'succeeded', 3.2), run_to(:first + 2, 'succeeded', 3.1);
select comparison_differences(1);
select run_to(:first + 3, 'succeeded', 3.5);
select comparison_differences(1);
select run_to(:first + 4, 'succeeded', 3.4), run_to(:first + 5, 'succeeded', 3.9);
select jsonb_pretty(comparison_differences(1));
insert into validation (job_id, step, tokens, at, loss)
select run.job_id, t, t * 100, now(), loss
  from comparison_arm join run using (run_id)
  join (values ('inherit', 1, '{9,7,5,4}'::float8[]), ('reinit', 1, '{8,8,6,5}'), ('inherit', 2, '{9,9,6,4}'), ('reinit', 2, '{8,7,7,5}'),
               ('inherit', 3, '{9,7,5,6}'), ('reinit', 3, '{8,8,6,5.5}')) m(arm, n, losses)
    on m.arm = comparison_arm.arm and m.n = comparison_arm.seed
 cross join unnest(losses) with ordinality l(loss, t);
select comparison_crossover(1, 'inherit', 'reinit'), comparison_crossover(1, 'reinit', 'inherit') ->> 'lower' as lower,
       comparison_crossover(1, 'inherit', 'human') is null as nothing, comparison_differences(1) #> '{0,crossover,tokens}' as tokens;
select run_to(:first + 6, 'cancelled', null), run_to(:first + 7, 'failed', null), run_to(:first + 8, 'succeeded', 3.3);
select event_id, body ->> 'state' as state from event where subject = 'cmp_1' order by event_id;
select df, round(t_975(df)::numeric, 3) from unnest('{1,2,30,31,60,1000}'::int[]) df;

-- sampling keeps the first and the last, and everything when it fits
insert into metric (job_id, step, tokens, at) select 1, i * 3, i, now() from generate_series(1, 1000) i;
select array_agg(step order by step) from metric_sample(1, 7);
select count(*), min(step), max(step) from metric_sample(1, 1000);
select count(*), min(step), max(step) from metric_sample(1, 999);
select count(*) from metric_sample(2, 5);

-- a comparison that is being cancelled: nothing else can be asked of it; of one arm only, the others go on
select comparison_create(jsonb_build_object('name', 'c', 'architecture_id', 1, 'dataset_id', 1,
    'budget_rule', 'train_matched', 'budget_tokens', 100, 'spec', '{}'::jsonb, 'runs',
    (select jsonb_agg(jsonb_build_object('arm', 'reinit', 'seed', seed, 'run', (:'run' || '"reinit"}')::jsonb))
       from generate_series(1, 2) seed))) as cmp \gset
select min(job_id) as first from job join run using (job_id) join comparison_arm using (run_id) where comparison_id = :cmp \gset
select (job_move(:first, 'starting', null, 1, '1 hour')).state;
select job_ask(:first, 'cancel');
select comparison_ask_seen(:cmp, 'pause', null);
select state, wish from job where job_id >= :first order by job_id;
select comparison_ask_seen(:cmp, 'cancel', null);
select comparison_ask_seen(:cmp, 'run', null);
select comparison_ask_seen(:cmp, 'cancel', null);
