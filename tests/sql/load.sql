-- Spans of events and metrics come before they are needed and go when they are old; a worker takes
-- what it can hold.
do $$ begin perform job_name(job_add('train', '{"memory_bytes": 60, "x": 1}'), 'run_1'); end $$;
select event_add('a', 'b', '{}');
select * from spans('event') union all select * from spans('metric');
select setval('event_event_id_seq', 249999);
select event_add('a', 'b', '{}');
select setval('event_event_id_seq', 750000);
select event_add('a', 'b', '{}');
select setval('event_event_id_seq', 1100000);
select event_add('a', 'b', '{}'), event_add('a', 'c', '{}');
select * from spans('event');

-- the old go span by span, then piece by piece, never the newest
update event set at = now() - interval '100 days' where event_id < 1100002;
select events_forget('90 days');
select event_id from event order by 1;
select span from spans('event');
update event set at = now() - interval '100 days';
select events_forget('90 days');
select event_id from event order by 1;

-- metrics stay as long as a job of their span may want them
select setval('job_job_id_seq', 4095);
do $$ begin perform job_name(job_add('train', '{}'), 'run_2'); end $$;
insert into metric (job_id, step, tokens, at) values (1, 1, 1, now()), (4096, 1, 1, now());
insert into metric (job_id, step, tokens, at) values (1, 1, 1, now()) on conflict do nothing;
select metrics_forget('1 day');
select job_id from metric order by 1;
select job_ask(1, 'cancel');
update job set finished_at = now() - interval '2 days' where job_id = 1;
select metrics_forget('1 day');
select job_id from metric order by 1;
select span from spans('metric');

-- 60 bytes do not fit into half of 100; cuda needs a GPU
select worker_join('{"name": "a", "host": "h", "process": 1, "slots": 2, "backends": ["cpu", "cuda"],
                     "memory_bytes": 100, "gpus": 0, "ranks": 4, "launch": "mpirun -np {ranks} {trainer}"}');
update job set memory_bytes = 60 where job_id = 4096;
select job_id from job_claim(1, '1 minute');
update job set memory_bytes = 50, backend = 'cuda' where job_id = 4096;
select job_id from job_claim(1, '1 minute');
update worker set gpus = 1;
select job_id, document from job_claim(1, '1 minute');
select * from job_ingest(4096, 1, 1, '1 minute', '[{"event": "start", "external_id": "slurm 17"}]');
select state, external_id from job where job_id = 4096;
select worker_seen(1);
update job set leased_until = now() - interval '1 second' where job_id = 4096;
select worker_seen(1);
select state, reason from job where job_id = 4096;
