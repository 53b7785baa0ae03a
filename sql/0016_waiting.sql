-- What an attempt is waiting for before its trainer speaks, in the words of what launches it: a batch
-- system may have it wait for hours.
create function job_waits(p_job_id bigint, p_worker_id bigint, p_attempt int, p_reason text) returns void
language plpgsql as $$
declare j job;
begin
    perform event_lock();
    if not job_held(p_job_id, p_worker_id, p_attempt) then return; end if;
    update job set reason = p_reason
     where job_id = p_job_id and state = 'starting' and reason is distinct from p_reason
    returning * into j;
    if found then perform event_add(j.subject, 'state', job_state_json(j)); end if;
end $$;
