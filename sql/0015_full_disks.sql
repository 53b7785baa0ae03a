-- A job that waits for room on a disk is tried again ever more rarely: after as long as it has waited already,
-- a second at least, half a minute at most. An attempt that lasted a minute was no such trial.
alter table job add column full_since timestamptz;

-- How an attempt ended, in the words of job_finish (0001) or "full".
create function job_end(p_job_id bigint, p_worker_id bigint, p_attempt int, p_how text, p_reason text)
returns boolean
language plpgsql as $$
declare
    was job;
begin
    if p_how is distinct from 'full' then
        return job_finish(p_job_id, p_worker_id, p_attempt, p_how, p_reason);
    end if;
    select * into was from job where job_id = p_job_id;
    if not job_finish(p_job_id, p_worker_id, p_attempt, 'again', p_reason) then return false; end if;
    if was.full_since is null or was.run_after < now() - interval '1 minute' then was.full_since := now(); end if;
    update job
       set full_since = was.full_since,
           run_after = now() + greatest(interval '1 second', least(interval '30 seconds', now() - was.full_since))
     where job_id = p_job_id;
    return true;
end $$;
