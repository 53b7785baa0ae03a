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
