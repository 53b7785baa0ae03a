-- How a resource comes into being: its row, its job, its first event, in one transaction. Each takes
-- what the API has checked and counted as one JSON object, and returns the resource's number.

create function ints(p jsonb) returns int[]
language sql immutable as $$ select array(select x::int from jsonb_array_elements_text(p) x) $$;

-- {name, tokenizer, spec, document}
create function dataset_create(p jsonb) returns bigint
language plpgsql as $$
declare
    id bigint;
    job bigint;
begin
    perform event_lock();
    job := job_add('dataset', p -> 'document', coalesce((p ->> 'priority')::int, 0));
    insert into dataset (name, tokenizer, spec, job_id)
    values (p ->> 'name', p ->> 'tokenizer', p -> 'spec', job) returning dataset_id into id;
    perform job_name(job, 'data_' || id);
    return id;
end $$;

-- {name, spec, document}
create function model_create(p jsonb) returns bigint
language plpgsql as $$
declare
    id bigint;
    job bigint;
begin
    perform event_lock();
    job := job_add('import', p -> 'document', coalesce((p ->> 'priority')::int, 0));
    insert into model (name, spec, job_id) values (p ->> 'name', p -> 'spec', job)
    returning model_id into id;
    perform job_name(job, 'mod_' || id);
    return id;
end $$;

-- {name, dataset_id, model_id, spec, options, seed, context, source_shape, source_hash, totals,
--  head_dim, hidden, q_heads, kv_heads, ffn, document}
create function search_create(p jsonb) returns bigint
language plpgsql as $$
declare
    id bigint;
    job bigint;
    data_job constant bigint := (select job_id from dataset where dataset_id = (p ->> 'dataset_id')::bigint);
    weights constant text := (select 'job_' || job_id || '/result' from model
                               where model_id = (p ->> 'model_id')::bigint);
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

-- {name, architecture_id, init, dataset_id, shape, shape_hash, params, seed, budget_tokens, spec, document}
-- Inherited weights are the architecture's snapshot in its search's folder.
create function run_create(p jsonb) returns bigint
language plpgsql as $$
declare
    id bigint;
    job bigint;
    data_job constant bigint := (select job_id from dataset where dataset_id = (p ->> 'dataset_id')::bigint);
    weights text;
begin
    perform event_lock();
    if p ->> 'init' = 'inherit' then
        select 'job_' || s.job_id || '/' || a.snapshot into weights
          from architecture a join search s using (search_id)
         where a.architecture_id = (p ->> 'architecture_id')::bigint;
        if weights is null then
            raise exception 'arch_% has no weights', p ->> 'architecture_id' using errcode = 'LT409';
        end if;
    end if;
    job := job_add('train', p -> 'document', coalesce((p ->> 'priority')::int, 0), data_job, weights);
    insert into run (name, architecture_id, init, dataset_id, shape, shape_hash, params, seed,
                     budget_tokens, spec, job_id)
    values (p ->> 'name', (p ->> 'architecture_id')::bigint, p ->> 'init', (p ->> 'dataset_id')::bigint,
            p -> 'shape', p ->> 'shape_hash', (p ->> 'params')::bigint, (p ->> 'seed')::bigint,
            (p ->> 'budget_tokens')::bigint, p -> 'spec', job)
    returning run_id into id;
    perform job_name(job, 'run_' || id);
    return id;
end $$;

-- {name, architecture_id, dataset_id, budget_rule, budget_tokens, spec, runs: [{arm, seed, run}, ...]}
create function comparison_create(p jsonb) returns bigint
language plpgsql as $$
declare
    id bigint;
    part jsonb;
begin
    perform event_lock();
    insert into comparison (name, architecture_id, dataset_id, budget_rule, budget_tokens, spec)
    values (p ->> 'name', (p ->> 'architecture_id')::bigint, (p ->> 'dataset_id')::bigint,
            p ->> 'budget_rule', (p ->> 'budget_tokens')::bigint, p -> 'spec')
    returning comparison_id into id;
    for part in select * from jsonb_array_elements(p -> 'runs') loop
        insert into comparison_arm (comparison_id, arm, seed, run_id)
        values (id, part ->> 'arm', (part ->> 'seed')::bigint, run_create(part -> 'run'));
    end loop;
    perform event_add('cmp_' || id, 'state', jsonb_build_object('id', 'cmp_' || id, 'state', 'queued'));
    perform comparison_follow(id);
    return id;
end $$;

-- The quantile of Student's t at 97.5 %: a table, and beyond it the first terms of the expansion
-- in 1/df around the normal one (Cornish and Fisher), right to three digits there.
create function t_975(df int) returns double precision
language sql immutable as $$
    select coalesce(('{12.7062,4.3027,3.1824,2.7764,2.5706,2.4469,2.3646,2.3060,2.2622,2.2281,
                       2.2010,2.1788,2.1604,2.1448,2.1314,2.1199,2.1098,2.1009,2.0930,2.0860,
                       2.0796,2.0739,2.0687,2.0639,2.0595,2.0555,2.0518,2.0484,2.0452,2.0423}'::float8[])[df],
                    1.959964 + 2.372272 / df + 2.822504 / df ^ 2)
$$;

-- Differences a - b of the final validation loss, seed by seed, for every two arms that both have
-- one; the interval is that of the mean of paired differences, from two seeds on.
create function comparison_differences(p_comparison_id bigint) returns jsonb
language sql stable as $$
    with final as (
        select a.arm, a.seed, j.validation_loss as loss,
               array_position('{inherit,reinit,human}', a.arm) as place
          from comparison_arm a join run r using (run_id) join job j using (job_id)
         where a.comparison_id = p_comparison_id and j.state = 'succeeded' and j.validation_loss is not null),
    pairs as (
        select x.arm as a, y.arm as b, x.place as place_a, y.place as place_b, count(*)::int as n,
               avg(x.loss - y.loss) as mean, stddev_samp(x.loss - y.loss) as deviation,
               jsonb_agg(x.loss - y.loss order by x.seed) as per_seed, jsonb_agg(x.seed order by x.seed) as seeds
          from final x join final y on x.seed = y.seed and x.place < y.place
         group by x.arm, y.arm, x.place, y.place)
    select coalesce(jsonb_agg(jsonb_build_object(
               'a', a, 'b', b, 'mean', mean, 'per_seed', per_seed, 'seeds', seeds,
               'ci95', case when n >= 2 then jsonb_build_array(
                   mean - t_975(n - 1) * deviation / sqrt(n), mean + t_975(n - 1) * deviation / sqrt(n)) end)
               order by place_a, place_b), '[]')
      from pairs
$$;

-- At most n steps of a job, spread evenly, the first and the last among them; all when there are
-- no more than n. Looks up n rows by index, however many there are.
create function metric_sample(p_job_id bigint, n int) returns setof metric
language plpgsql stable as $$
declare
    low bigint;
    high bigint;
begin
    if (select count(*) from (select from metric where job_id = p_job_id limit n + 1) m) <= n then
        return query select * from metric where job_id = p_job_id order by step;
        return;
    end if;
    select min(step), max(step) into low, high from metric where job_id = p_job_id;
    return query
        select m.* from generate_series(0, n - 2) i
          cross join lateral (
              select * from metric
               where job_id = p_job_id
                 and step >= low + (high - low) * i / (n - 1) and step < low + (high - low) * (i + 1) / (n - 1)
               order by step limit 1) m
        union all
        select * from metric where job_id = p_job_id and step = high
        order by 2;
end $$;

-- What people want of a comparison, they want of every run of it that is not over.
create function comparison_ask(p_comparison_id bigint, p_wish text) returns void
language plpgsql as $$
declare part record;
begin
    perform event_lock();
    for part in select j.job_id, j.state
                  from comparison_arm a join run r using (run_id) join job j using (job_id)
                 where a.comparison_id = p_comparison_id order by j.job_id loop
        continue when is_over(part.state) and not (part.state = 'failed' and p_wish = 'run');
        perform job_ask(part.job_id, p_wish);
    end loop;
end $$;
