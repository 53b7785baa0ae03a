-- For many searches over months: events and metrics in partitions that can be dropped when they are
-- old, jobs that say what they need of a worker and workers that say what they have.

-- ---- spans -------------------------------------------------------------------------------------

-- Ids are given out in the order of time, so a span of ids is a span of time, and who asks by id
-- finds the partition without looking into others. There is always one span more than is in use.
create function span_of(p_table text) returns bigint
language sql immutable as $$ select case p_table when 'event' then 500000 when 'metric' then 4096 end::bigint $$;

-- Makes the partition that starts at p_from, unless it is there. Attaching locks less than creating.
create function span_add(p_table text, p_from bigint) returns void
language plpgsql as $$
declare name constant text := p_table || '_' || p_from;
begin
    if to_regclass(name) is not null then return; end if;
    execute format('create table %I (like %I including defaults including constraints)', name, p_table);
    execute format('alter table %I attach partition %I for values from (%s) to (%s)',
                   p_table, name, p_from, p_from + span_of(p_table));
end $$;

-- In the second half of a span, the next one; the first of a table, too.
create function span_follow(p_table text, p_id bigint) returns void
language plpgsql as $$
declare size constant bigint := span_of(p_table);
begin
    if p_id % size >= size / 2 then perform span_add(p_table, (p_id / size + 1) * size); end if;
end $$;

-- What a table held becomes its first partition, as long as it takes whole spans to hold it.
create function span_begin(p_table text, p_old text, p_last bigint) returns void
language plpgsql as $$
declare
    size constant bigint := span_of(p_table);
    beyond constant bigint := (coalesce(p_last, 0) / size + 1) * size;
begin
    execute format('alter table %I attach partition %I for values from (minvalue) to (%s)', p_table, p_old, beyond);
    perform span_add(p_table, beyond);
end $$;

alter table event rename to event_0;
alter table event_0 rename constraint event_pkey to event_0_pkey;
alter index event_of_subject rename to event_0_of_subject;
create table event (
    event_id bigint generated always as identity primary key,
    subject  text not null,
    kind     text not null,
    at       timestamptz not null default now(),
    body     jsonb not null
) partition by range (event_id);
create index event_of_subject on event (subject, event_id);
do $$
declare last constant bigint := coalesce((select max(event_id) from event_0), 0);
begin
    execute format('alter table event alter column event_id restart with %s', last + 1);
    alter table event_0 alter column event_id drop identity;
    alter sequence event_event_id_seq1 rename to event_event_id_seq;
    perform span_begin('event', 'event_0', last);
end $$;

create or replace function event_add(p_subject text, p_kind text, p_body jsonb) returns void
language plpgsql as $$
declare id bigint;
begin
    perform event_lock();
    insert into event (subject, kind, body) values (p_subject, p_kind, p_body) returning event_id into id;
    perform span_follow('event', id);
    notify lathe_event;
end $$;

drop function metric_sample(bigint, int);
alter table metric rename to metric_0;
alter table metric_0 rename constraint metric_pkey to metric_0_pkey;
alter table metric_0 rename constraint metric_job_id_fkey to metric_0_job_id_fkey;
create table metric (
    job_id        bigint not null references job on delete cascade,
    step          bigint not null,
    tokens        bigint not null,
    at            timestamptz not null,
    loss          double precision,
    learning_rate double precision,
    grad_norm     double precision,
    tokens_per_second double precision,
    params        bigint,
    primary key (job_id, step)
) partition by range (job_id);
do $$ begin perform span_begin('metric', 'metric_0', (select max(job_id) from job)); end $$;

-- As in 0004, of the new table.
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

-- ---- retention ---------------------------------------------------------------------------------

create function spans(p_table regclass) returns table (span regclass, low bigint, high bigint)
language sql stable as $$
    select c.oid::regclass, coalesce((regexp_match(bound, 'FROM \(''(\d+)''\)'))[1]::bigint, 0),
           (regexp_match(bound, 'TO \(''(\d+)''\)'))[1]::bigint
      from pg_inherits i join pg_class c on c.oid = i.inhrelid, pg_get_expr(c.relpartbound, c.oid) bound
     where i.inhparent = p_table
$$;

-- Drops spans of events of which the newest is older than this, but for the newest span; what is old
-- and shares a span with the new goes ten thousand a call.
create function events_forget(p_keep interval) returns void
language plpgsql as $$
declare
    last constant bigint := (select max(event_id) from event);
    part record;
    newest timestamptz;
begin
    perform event_lock();
    for part in select * from spans('event') where high <= last order by low loop
        execute format('select at from %s order by event_id desc limit 1', part.span) into newest;
        exit when newest >= now() - p_keep;
        execute format('drop table %s', part.span);
    end loop;
    delete from event
     where event_id in (select event_id from (select event_id, at from event order by event_id limit 10000) e
                         where at < now() - p_keep and event_id < last);
end $$;

-- Drops spans of metrics of which every job has been over for so long.
create function metrics_forget(p_keep interval) returns void
language plpgsql as $$
declare
    last constant bigint := (select max(job_id) from job);
    part record;
begin
    perform event_lock();
    for part in select * from spans('metric') where high <= last order by low loop
        exit when exists (select from job where job_id >= part.low and job_id < part.high
                             and (not is_over(state) or finished_at >= now() - p_keep));
        execute format('drop table %s', part.span);
    end loop;
end $$;

-- ---- what a job needs and a worker has ---------------------------------------------------------

-- Of the whole machine; null memory: nobody said. A launch template starts `ranks` processes a job.
alter table worker
    add column memory_bytes bigint,
    add column gpus int not null default 0,
    add column ranks int not null default 1,
    add column launch text;

alter table job
    add column memory_bytes bigint not null default 0,  -- what it will hold, as far as was estimated
    add column external_id text;                        -- what a batch system calls this attempt

-- {name, host, process, slots, backends, memory_bytes, gpus, ranks, launch}
create function worker_join(p jsonb) returns bigint
language plpgsql as $$
declare id bigint;
begin
    id := worker_start(p ->> 'name', p ->> 'host', (p ->> 'process')::int, (p ->> 'slots')::int,
                       array(select jsonb_array_elements_text(p -> 'backends')));
    update worker
       set memory_bytes = (p ->> 'memory_bytes')::bigint, gpus = (p ->> 'gpus')::int,
           ranks = (p ->> 'ranks')::int, launch = p ->> 'launch'
     where worker_id = id;
    return id;
end $$;

-- May this worker take a job that needs so much? Its memory is shared by its slots.
create function worker_suits(w worker, p_backend text, p_memory_bytes bigint) returns boolean
language sql immutable as $$
    select p_backend = any (w.backends)
       and (p_backend not like 'cuda%' or w.gpus > 0)
       and coalesce(p_backend like 'cuda%' or p_memory_bytes <= w.memory_bytes / w.slots, true)
$$;

-- As in 0001, and a job that is too large for this worker is left to others.
create or replace function job_claim(p_worker_id bigint, p_lease interval) returns setof job
language plpgsql as $$
declare
    picked bigint;
    w worker;
begin
    perform event_lock();
    perform job_sweep();
    update worker set seen_at = now() where worker_id = p_worker_id returning * into w;
    if w.draining then return; end if;
    select q.job_id into picked
      from job q
     where q.state = 'queued' and q.subject <> '' and q.run_after <= now()
       and (q.data_job_id is null
            or (select d.state from job d where d.job_id = q.data_job_id) = 'succeeded')
       and worker_suits(w, q.backend, q.memory_bytes)
     order by q.priority desc, q.job_id
     limit 1
       for update skip locked;
    if picked is null then return; end if;
    update job
       set attempt = attempt + 1, heartbeat_at = now(), error = null, result = null, external_id = null
     where job_id = picked;
    return next job_move(picked, 'starting', null, p_worker_id, p_lease);
end $$;

-- A worker that is busy says it is there, and looks after the leases of others.
create function worker_seen(p_worker_id bigint) returns int
language plpgsql as $$
begin
    perform event_lock();
    update worker set seen_at = now() where worker_id = p_worker_id;
    return job_sweep();
end $$;

-- As in 0001. What the job will hold in memory comes with its document, and is ours, not the trainer's.
create or replace function job_add(p_kind text, p_document jsonb, p_priority int default 0,
                                   p_data_job_id bigint default null, p_model_path text default null)
returns bigint
language plpgsql as $$
declare id bigint;
begin
    insert into job (kind, subject, document, priority, backend, data_job_id, model_path, memory_bytes)
    values (p_kind, '', p_document - 'memory_bytes', p_priority, coalesce(p_document ->> 'backend', 'cpu'),
            p_data_job_id, p_model_path, coalesce((p_document ->> 'memory_bytes')::bigint, 0))
    returning job_id into id;
    perform span_follow('metric', id);
    return id;
end $$;

-- As in 0003, and keeps what the batch system calls the attempt.
create or replace function start_store(inout b batch, p_line jsonb)
language plpgsql as $$
declare
    j job := b.j;
begin
    if p_line ? 'external_id' then
        update job set external_id = left(p_line ->> 'external_id', 200) where job_id = j.job_id;
    end if;
    j.tokens_planned := p_line ->> 'tokens_planned';
    j.steps_planned := p_line ->> 'steps_planned';
    j.params := coalesce((p_line ->> 'params')::bigint, j.params);
    b.j := j;
    if j.state = 'starting' then
        perform batch_write(b);
        b.j := job_move(j.job_id, 'running', null);
    end if;
end $$;
