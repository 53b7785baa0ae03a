-- A job is handed to one worker; a lease that runs out is handed on; the old attempt is not heard.
select worker_start('ada', 'here', 1, 1, '{cpu}') as ada;
select worker_start('bob', 'here', 2, 1, '{cpu}') as bob;
select job_add('dataset', '{}') as first;
select job_add('dataset', '{}', 5) as second;
select job_claim(1, '1 minute');  -- nothing: they have no subject yet
do $$ begin perform job_name(1, 'data_1'); perform job_name(2, 'data_2'); end $$;

select job_id, state, attempt from job_claim(1, '1 minute');  -- the larger priority first
select job_id, state, attempt from job_claim(2, '1 minute');
select job_id from job_claim(2, '1 minute');

select * from job_ingest(2, 1, 1, '1 minute', '[]');
update job set leased_until = now() - interval '1 second' where job_id = 2;
-- late, but nobody else has it yet: the lease is simply renewed
select * from job_ingest(2, 1, 1, '1 minute', '[]');
update job set leased_until = now() - interval '1 second' where job_id = 2;
select job_id, worker_id, attempt from job_claim(2, '1 minute');
select * from job_ingest(2, 1, 1, '1 minute', '[{"event": "start", "tokens_planned": 5}]');
select job_finish(2, 1, 1, 'done', null);
select state, attempt, worker_id, tokens_planned from job where job_id = 2;

-- the new attempt is
select * from job_ingest(2, 2, 2, '1 minute', '[{"event": "start", "tokens_planned": 5}]');
select job_finish(2, 2, 2, 'done', null);  -- but without a done event it is a crash
select state, failures, reason, run_after > now() as later from job where job_id = 2;

-- a worker that comes back takes back what it held
select job_id, attempt from job where worker_id = 1;
select worker_start('bob', 'here', 3, 1, '{cpu}') as bob;
select job_id, state, reason from job order by job_id;

-- a drained worker gets nothing, nor does one without the backend
update job set run_after = now(), backend = 'cuda';
select count(*) from job_claim(1, '1 minute');
update job set backend = 'cpu';
update worker set draining = true;
select count(*) from job_claim(1, '1 minute');
update worker set draining = false;
select count(*) from job_claim(1, '1 minute');

-- the table refuses half a lease, and job_move an edge that is not there
update job set worker_id = null where state = 'starting';
select job_move(2, 'paused', null) is not null, job_move(1, 'queued', null) is not null;
select job_move(1, 'running', null);
select event_id, subject, body ->> 'state' as state, body ->> 'attempt' as attempt, body ->> 'reason' as reason
  from event order by event_id;

-- a full disk is no failure; it is looked at again after as long as it has been full, half a minute at most
create function is_full(p_age interval) returns text language sql as $$
    update job set state = 'starting', worker_id = 1, leased_until = now() + interval '1 minute', run_after = now(),
                   full_since = now() - p_age where job_id = 2;
    select job_end(2, 1, (select attempt from job where job_id = 2), 'full', 'no room');
    select state || ' ' || failures || ' ' || (run_after - now()) from job where job_id = 2;
$$;
select is_full(null), is_full('2 s'), is_full('9 s'), is_full('1 hour');
update job set state = 'starting', worker_id = 1, leased_until = now() + interval '1 minute', run_after = now() - interval '2 minutes';
select job_end(2, 1, attempt, 'full', 'no room') from job where job_id = 2;
select full_since > now() - interval '1 minute' as anew from job where job_id = 2;
