-- Wishes that meet: what is asked of a job while an earlier wish is being followed.

-- As in 0001, but a cancel that was accepted stays, and nothing is queued for a data set that will not come.
create or replace function job_ask(p_job_id bigint, p_wish text) returns void
language plpgsql as $$
declare
    j job;
    data job;
begin
    perform event_lock();
    select * into j from job where job_id = p_job_id for update;
    if not found then raise exception 'there is no such job' using errcode = 'LT404'; end if;
    select * into data from job where job_id = j.data_job_id;
    if j.state = 'cancelled' and p_wish = 'cancel' or j.state = 'paused' and p_wish = 'pause' then
        return;
    elsif is_over(j.state) and not (j.state = 'failed' and p_wish = 'run') then
        raise exception '% is % already', j.subject, j.state using errcode = 'LT409';
    elsif is_active(j.state) and j.wish = 'cancel' and p_wish <> 'cancel' then
        raise exception '% is being cancelled', j.subject using errcode = 'LT409';
    elsif p_wish = 'run' and data.state in ('failed', 'cancelled') then
        raise exception '% cannot run: its data set % is %', j.subject, data.subject, data.state
            using errcode = 'LT409';
    end if;
    update job set wish = p_wish where job_id = p_job_id;
    if p_wish = 'cancel' and j.state in ('queued', 'paused') then
        perform job_move(p_job_id, 'cancelled', 'cancelled as asked');
    elsif p_wish = 'pause' and j.state = 'queued' then
        perform job_move(p_job_id, 'paused', 'paused as asked');
    elsif p_wish = 'pause' and j.state in ('starting', 'running') then
        perform job_move(p_job_id, 'pausing', null);
    elsif p_wish = 'run' and j.state in ('paused', 'failed') then
        update job set failures = 0, run_after = now() where job_id = p_job_id;
        perform job_move(p_job_id, 'queued', null);
    end if;
    notify lathe_job;
end $$;

-- As in 0004, but arms that are being cancelled are left alone; refused when there are no others to ask.
create or replace function comparison_ask(p_comparison_id bigint, p_wish text) returns void
language plpgsql as $$
declare
    part record;
    n_asked int := 0;
    n_leaving int := 0;
begin
    perform event_lock();
    for part in select j.job_id, j.state, j.wish
                  from comparison_arm a join run r using (run_id) join job j using (job_id)
                 where a.comparison_id = p_comparison_id order by j.job_id loop
        continue when is_over(part.state) and not (part.state = 'failed' and p_wish = 'run');
        if is_active(part.state) and part.wish = 'cancel' and p_wish <> 'cancel' then
            n_leaving := n_leaving + 1;
        else
            perform job_ask(part.job_id, p_wish);
            n_asked := n_asked + 1;
        end if;
    end loop;
    if n_leaving > 0 and n_asked = 0 then
        raise exception 'cmp_% is being cancelled', p_comparison_id using errcode = 'LT409';
    end if;
end $$;

-- As in 0003, but a job that is pausing is stopped even if it may run again by now: its trainer may
-- know of the pause or not, and no edge leads from pausing back to running. job_give_back queues it.
create or replace function job_ingest(p_job_id bigint, p_worker_id bigint, p_attempt int, p_lease interval,
                                      p_lines jsonb, p_said bigint default null,
                                      out held boolean, out wish text)
language plpgsql as $$
declare
    b batch;
    j job;
    s search;
    line jsonb;
    stored record;
begin
    perform event_lock();
    held := job_held(p_job_id, p_worker_id, p_attempt);
    if not held then return; end if;
    select * into j from job where job_id = p_job_id;
    wish := case when j.state = 'pausing' and j.wish = 'run' then 'pause' else j.wish end;
    j.leased_until := now() + p_lease;
    j.heartbeat_at := now();
    j.said := coalesce(p_said, j.said);
    select * into s from search q where q.job_id = p_job_id for update;
    b := (j, s)::batch;
    for line in select * from jsonb_array_elements(p_lines) loop
        stored := line_store(b, line);
        b := stored.b;
        if stored.is_news then
            perform event_add(j.subject, line ->> 'event', line - 'event' - 'seq');
        end if;
    end loop;
    perform batch_write(b);
end $$;
