-- A job that waits for room on a disk is tried again ever more rarely: after as long as it has waited already,
-- a second at least, half a minute at most. An attempt that lasted a minute was no such trial.
alter table job add column full_since timestamptz;

create function job_waits_for_room(p_job_id bigint) returns interval
language sql as $$
    update job
       set full_since = case when full_since is null or run_after < now() - interval '1 minute' then now() else full_since end
     where job_id = p_job_id
    returning greatest(interval '1 second', least(interval '30 seconds', now() - full_since));
$$;

-- As in 0001, and "full".
create or replace function job_finish(p_job_id bigint, p_worker_id bigint, p_attempt int, p_how text, p_reason text)
returns boolean
language plpgsql as $$
declare
    j job;
    why text;
begin
    perform event_lock();
    if not job_held(p_job_id, p_worker_id, p_attempt) then return false; end if;
    select * into j from job where job_id = p_job_id;
    why := left(coalesce(j.error ->> 'message' || coalesce(' (' || nullif(j.error ->> 'hint', '') || ')', ''),
                         p_reason, p_how), 2000);
    if p_how = 'done' and j.result is not null then
        perform job_move(p_job_id, 'succeeded', null);
    elsif p_how = 'bad_input' and j.wish <> 'cancel' then
        perform job_move(p_job_id, 'failed', why);
    elsif p_how = 'again' then
        perform job_give_back(p_job_id, p_reason, interval '1 second');
    elsif p_how = 'full' then
        perform job_give_back(p_job_id, p_reason, job_waits_for_room(p_job_id));
    else
        update job set failures = failures + 1 where job_id = p_job_id returning * into j;
        if j.failures >= j.max_failures and j.wish = 'run' then
            perform job_move(p_job_id, 'failed', why);
        else
            perform job_give_back(p_job_id, why, least(300, power(2, j.failures - 1)) * interval '1 second');
        end if;
    end if;
    notify lathe_job;
    return true;
end $$;
