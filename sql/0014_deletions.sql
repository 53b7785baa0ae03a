-- Exports and evaluations can go, and what changes workers and tokens may depend on what was seen.

-- The job of something that is about to go: only when it is over, and still what somebody saw of it
-- (p_seen null: whatever it is).
create function job_let_go(p_job_id bigint, p_seen text[]) returns job
language plpgsql as $$
declare j job;
begin
    select * into strict j from job where job_id = p_job_id for update;
    if not coalesce(job_version(j) = any (p_seen) or '*' = any (p_seen), true) then
        raise exception '% is % now, it has changed since you looked', j.subject, j.state using errcode = 'LT412';
    elsif not is_over(j.state) then
        raise exception '% is %; cancel it first (or job_%)', j.subject, j.state, j.job_id using errcode = 'LT409';
    end if;
    return j;
end $$;

-- What its job wrote is no longer offered; listeners hear of it.
create function job_gone(j job) returns bigint
language plpgsql as $$
begin
    delete from artifact where job_id = j.job_id;
    perform event_add(j.subject, 'deleted', jsonb_build_object('id', j.subject));
    return j.job_id;
end $$;

-- These return the number of the job, whose folder may go now: nothing but this refers to what is in
-- it. Null when there is no such thing.
create function export_delete(p_export_id bigint, p_seen text[]) returns bigint
language plpgsql as $$
declare
    j job;
    job bigint;
begin
    perform event_lock();
    select job_id into job from export where export_id = p_export_id for update;
    if not found then return null; end if;
    j := job_let_go(job, p_seen);
    delete from export where export_id = p_export_id;
    return job_gone(j);
end $$;

create function evaluation_delete(p_evaluation_id bigint, p_seen text[]) returns bigint
language plpgsql as $$
declare
    j job;
    job bigint;
begin
    perform event_lock();
    select job_id into job from evaluation where evaluation_id = p_evaluation_id for update;
    if not found then return null; end if;
    j := job_let_go(job, p_seen);
    delete from evaluation where evaluation_id = p_evaluation_id;
    return job_gone(j);
end $$;

-- "exp_1, eval_3, eval_4 and 7 more": exports and evaluations of a model; null when there are none.
create function model_products(p_model_id bigint) returns text
language sql stable as $$
    with product as (
        select 1 as kind, export_id as n, 'exp_' || export_id as id from export where model_id = p_model_id
        union all
        select 2, evaluation_id, 'eval_' || evaluation_id from evaluation where model_id = p_model_id),
    few as (select * from product order by kind, n limit 10)
    select string_agg(id, ', ' order by kind, n)
           || coalesce(' and ' || nullif((select count(*) from product) - count(*), 0) || ' more', '')
      from few
$$;

-- As 0008, and says what to delete first. Searches stay, and with them what they began with.
create or replace function model_delete(p_model_id bigint, p_seen text[]) returns bigint
language plpgsql as $$
declare
    j job;
    job bigint;
    one_search bigint;
    products text;
begin
    perform event_lock();
    select job_id into job from model where model_id = p_model_id for update;
    if not found then return null; end if;
    j := job_let_go(job, p_seen);
    select min(search_id) into one_search from search where model_id = p_model_id;
    products := model_products(p_model_id);
    if one_search is not null then
        raise exception '% has to stay: srch_% began with it, and searches are not deleted', j.subject, one_search
            using errcode = 'LT409';
    elsif products is not null then
        raise exception '% is still referred to; delete these first: %', j.subject, products using errcode = 'LT409';
    end if;
    delete from model where model_id = p_model_id;
    return job_gone(j);
end $$;
drop function model_users(bigint);

-- ---- versions -------------------------------------------------------------------------------------

create function worker_version(w worker) returns text
language sql immutable as $$ select case when w.draining then 'draining' else 'working' end $$;

create function worker_drain(p_worker_id bigint, p_draining boolean, p_seen text[]) returns void
language plpgsql as $$
declare w worker;
begin
    select * into w from worker where worker_id = p_worker_id for update;
    if not coalesce(worker_version(w) = any (p_seen) or '*' = any (p_seen), true) then
        raise exception 'wrk_% is % now, it has changed since you looked', p_worker_id, worker_version(w)
            using errcode = 'LT412';
    end if;
    update worker set draining = p_draining where worker_id = p_worker_id;
end $$;

create function token_version(t token) returns text
language sql stable as $$
    select case when t.revoked_at is not null then 'revoked' when t.expires_at <= now() then 'expired' else 'good' end
$$;

create function token_revoke(p_token_id bigint, p_seen text[]) returns void
language plpgsql as $$
declare t token;
begin
    select * into t from token where token_id = p_token_id for update;
    if not coalesce(token_version(t) = any (p_seen) or '*' = any (p_seen), true) then
        raise exception 'tok_% is % now, it has changed since you looked', p_token_id, token_version(t)
            using errcode = 'LT412';
    end if;
    update token set revoked_at = now() where token_id = p_token_id and revoked_at is null;
end $$;

-- As 0007, and a comparison that is over answers as a job does: it cannot be changed any more, but for
-- resuming one that has failed.
create or replace function comparison_ask_seen(p_comparison_id bigint, p_wish text, p_seen text[]) returns void
language plpgsql as $$
declare c comparison;
begin
    perform event_lock();
    select * into c from comparison where comparison_id = p_comparison_id for update;
    if not coalesce(c.state::text = any (p_seen) or '*' = any (p_seen), true) then
        raise exception 'cmp_% is % now, it has changed since you looked', c.comparison_id, c.state
            using errcode = 'LT412';
    elsif is_over(c.state) and not (c.state = 'failed' and p_wish = 'run' or c.state = 'cancelled' and p_wish = 'cancel') then
        raise exception 'cmp_% is % already', c.comparison_id, c.state using errcode = 'LT409';
    end if;
    perform comparison_ask(p_comparison_id, p_wish);
end $$;
