-- Where the curves of two arms cross for good.

-- {"lower": the arm whose mean validation loss is lower at the last budget that all seeds of both arms
-- have reported, "tokens": the first such budget from which it stays lower, "per_seed": the same of every
-- seed by itself, null where that seed ends the other way}; null when the two share no budget yet.
-- Only budgets that both reported count: nothing is read off between two points.
create function comparison_crossover(p_comparison_id bigint, p_a text, p_b text) returns jsonb
language sql stable as $$
    with point as (
        select a.arm, a.seed, v.tokens, v.loss
          from comparison_arm a join run using (run_id) join validation v using (job_id)
         where a.comparison_id = p_comparison_id and a.arm in (p_a, p_b) and v.loss is not null),
    pair as (
        select x.seed, x.tokens, x.loss - y.loss as apart
          from point x join point y using (seed, tokens) where x.arm = p_a and y.arm = p_b),
    curve as (  -- seed null: the mean
        select seed, tokens, apart from pair
        union all
        select null, tokens, avg(apart) from pair group by tokens
        having count(*) = (select count(distinct seed) from pair)),
    ending as (select sign(apart) as way from curve where seed is null order by tokens desc limit 1),
    since as (
        select c.seed, min(c.tokens) filter (where c.tokens > coalesce(o.tokens, -1)) as tokens
          from curve c cross join ending
          left join lateral (select max(tokens) as tokens from curve other
                              where other.seed is not distinct from c.seed and sign(other.apart) <> ending.way) o on true
         group by c.seed)
    select jsonb_build_object(
               'lower', case when way < 0 then p_a when way > 0 then p_b end,
               'tokens', (select tokens from since where seed is null),
               'per_seed', (select jsonb_agg(tokens order by seed) from since where seed is not null))
      from ending
$$;

-- The differences at the end, as they were, each with where the two arms' curves cross.
alter function comparison_differences(bigint) rename to comparison_endings;
create function comparison_differences(p_comparison_id bigint) returns jsonb
language sql stable as $$
    select coalesce(jsonb_agg(d || jsonb_build_object(
                        'crossover', comparison_crossover(p_comparison_id, d ->> 'a', d ->> 'b')) order by n), '[]')
      from jsonb_array_elements(comparison_endings(p_comparison_id)) with ordinality e(d, n)
$$;
