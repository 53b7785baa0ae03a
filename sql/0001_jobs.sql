-- Work that somebody asked for, who does it, and what happened.
--
-- A job is leased to one worker at a time. Its attempt number is the fencing token: every claim
-- raises it, and whoever writes for a job says which attempt it speaks for, so a worker that was
-- given up for lost cannot write over its successor.
--
-- State changes only in job_move(), which knows the edges:
--
--   queued ──► starting ──► running ──► succeeded
--     ▲ │          │          │ │  └──► failed ──► queued     (asked again by a person)
--     │ │          │          │ └─────► pausing ──► paused ──► queued
--     │ └► paused, cancelled, failed    │
--     └────────────┴──────────┴─────────┘     lease lost, or the trainer said "try again"
--
-- Errors meant for people carry the codes LT400 (wrong), LT404 (missing), LT409 (conflict).

create type job_state as enum
    ('queued', 'starting', 'running', 'pausing', 'paused', 'succeeded', 'failed', 'cancelled');

create function is_active(state job_state) returns boolean
language sql immutable as $$ select state in ('starting', 'running', 'pausing') $$;

create function is_over(state job_state) returns boolean
language sql immutable as $$ select state in ('succeeded', 'failed', 'cancelled') $$;

-- A process of lathed that takes jobs. Its name is its data directory on its host, so a process
-- that comes back after a crash is the same worker and may take back what it held.
create table worker (
    worker_id  bigint generated always as identity primary key,
    name       text not null unique,
    host       text not null,
    process    int not null,
    slots      int not null,
    backends   text[] not null default '{cpu,ref}',
    draining   boolean not null default false,
    started_at timestamptz not null default now(),
    seen_at    timestamptz not null default now(),
    constraint a_worker_has_room_for_something check (slots between 1 and 1024)
);

-- One piece of work for lathe-train, on behalf of one resource (subject, such as 'srch_3').
create table job (
    job_id        bigint generated always as identity primary key,
    kind          text not null,
    subject       text not null,
    state         job_state not null default 'queued',
    wish          text not null default 'run',  -- what people want of it: run, pause, cancel
    priority      int not null default 0,       -- larger first
    backend       text not null default 'cpu',
    document      jsonb not null,               -- the job for lathe-train; job_document() completes it
    data_job_id   bigint references job,        -- the job whose result is our data
    model_path    text,                         -- below the folder of jobs: where our weights lie

    attempt       int not null default 0,       -- claims so far; the fencing token
    failures      int not null default 0,       -- attempts in a row that ended badly without progress
    max_failures  int not null default 4,
    worker_id     bigint references worker,
    leased_until  timestamptz,
    run_after     timestamptz not null default now(),
    heartbeat_at  timestamptz,

    said          bigint not null default 0,    -- bytes of its journal of events that are stored
    reason        text,                         -- why it is not (or no longer) running, for people
    error         jsonb,                        -- the trainer's last error event
    result        jsonb,                        -- the trainer's done event

    -- the latest of what its events said
    step          bigint not null default 0,
    tokens        bigint not null default 0,
    tokens_planned bigint,
    steps_planned bigint,
    loss          double precision,
    validation_loss double precision,
    tokens_per_second double precision,
    phase         text,
    params        bigint,
    done_units    bigint,
    total_units   bigint,
    unit          text,

    created_at    timestamptz not null default now(),
    started_at    timestamptz,
    finished_at   timestamptz,

    constraint kind_is_known check (kind in ('dataset', 'import', 'search', 'train', 'export', 'eval')),
    constraint wish_is_known check (wish in ('run', 'pause', 'cancel')),
    constraint priority_is_moderate check (priority between -100 and 100),
    constraint a_lease_is_whole check (
        (is_active(state)) = (worker_id is not null) and (is_active(state)) = (leased_until is not null)),
    constraint a_finished_job_has_a_time check (is_over(state) = (finished_at is not null)),
    constraint a_failed_job_has_a_reason check (state <> 'failed' or reason is not null)
) with (fillfactor = 70);

create index job_to_claim on job (priority desc, job_id) where state = 'queued';
create index job_leased on job (leased_until) where state in ('starting', 'running', 'pausing');
create index job_of_subject on job (subject);
create index job_by_state on job (state, job_id);
create index job_waiting_for_data on job (data_job_id) where state = 'queued';

-- Something that happened. Ids are given out in the order in which transactions commit, because all
-- who write events take one lock first: a reader that has seen event n will never find a smaller
-- one that it has not seen.
create table event (
    event_id bigint generated always as identity primary key,
    subject  text not null,
    kind     text not null,
    at       timestamptz not null default now(),
    body     jsonb not null
);
create index event_of_subject on event (subject, event_id);

-- Taken at the start of every function that may write an event, before any row: with one order for
-- all there is no deadlock.
create function event_lock() returns void
language sql as $$ select pg_advisory_xact_lock(x'1a74e'::int) $$;

create function event_add(p_subject text, p_kind text, p_body jsonb) returns void
language plpgsql as $$
begin
    perform event_lock();
    insert into event (subject, kind, body) values (p_subject, p_kind, p_body);
    notify lathe_event;
end $$;

-- The members that every resource shows of its job's state.
create function job_state_json(j job) returns jsonb
language sql stable as $$
    select jsonb_build_object('id', j.subject, 'job', 'job_' || j.job_id, 'state', j.state,
                              'attempt', j.attempt, 'reason', j.reason)
$$;

-- Resources add what follows a change of state by replacing this (0002).
create function job_moved(j job) returns void language sql as $$ select $$;

create function job_move(p_job_id bigint, p_to job_state, p_reason text,
                         p_worker_id bigint default null, p_lease interval default null) returns job
language plpgsql as $$
declare
    j job;
    edges constant text[] := array[
        'queued>starting', 'queued>paused', 'queued>cancelled', 'queued>failed',
        'starting>running', 'starting>queued', 'starting>pausing', 'starting>paused',
        'starting>cancelled', 'starting>failed', 'starting>succeeded',
        'running>pausing', 'running>queued', 'running>paused', 'running>cancelled',
        'running>failed', 'running>succeeded',
        'pausing>paused', 'pausing>queued', 'pausing>cancelled', 'pausing>failed',
        'pausing>succeeded',
        'paused>queued', 'paused>cancelled', 'failed>queued'];
begin
    select * into strict j from job where job_id = p_job_id for update;
    if not (j.state || '>' || p_to) = any (edges) then
        raise exception '% is %, it cannot become %', j.subject, j.state, p_to using errcode = 'LT409';
    end if;
    update job
       set state = p_to,
           reason = p_reason,
           worker_id = case when is_active(p_to) then coalesce(p_worker_id, worker_id) end,
           leased_until = case when is_active(p_to) then coalesce(now() + p_lease, leased_until) end,
           started_at = case when p_to = 'running' then coalesce(started_at, now()) else started_at end,
           finished_at = case when is_over(p_to) then now() end,
           tokens_per_second = case when is_active(p_to) then tokens_per_second end
     where job_id = p_job_id
    returning * into j;
    perform event_add(j.subject, 'state', job_state_json(j));
    perform job_moved(j);
    return j;
end $$;

create function job_add(p_kind text, p_document jsonb, p_priority int default 0,
                        p_data_job_id bigint default null, p_model_path text default null)
returns bigint
language sql as $$
    insert into job (kind, subject, document, priority, backend, data_job_id, model_path)
    values (p_kind, '', p_document, p_priority, coalesce(p_document ->> 'backend', 'cpu'),
            p_data_job_id, p_model_path)
    returning job_id
$$;

-- A job gets its subject once the resource has its number; from then on it can be claimed.
create function job_name(p_job_id bigint, p_subject text) returns void
language plpgsql as $$
declare j job;
begin
    update job set subject = p_subject where job_id = p_job_id returning * into strict j;
    perform event_add(j.subject, 'state', job_state_json(j));
    perform job_moved(j);
    notify lathe_job;
end $$;

-- A worker says it is there. One that comes back under its name lost its trainers with its
-- process: what it held is queued again at once.
create function worker_start(p_name text, p_host text, p_process int, p_slots int, p_backends text[])
returns bigint
language plpgsql as $$
declare
    id bigint;
    held bigint;
begin
    perform event_lock();
    insert into worker (name, host, process, slots, backends)
    values (p_name, p_host, p_process, p_slots, p_backends)
    on conflict (name) do update
       set host = excluded.host, process = excluded.process, slots = excluded.slots,
           backends = excluded.backends, draining = false, started_at = now(), seen_at = now()
    returning worker_id into id;
    for held in select job_id from job where worker_id = id and is_active(state) order by job_id loop
        perform job_give_back(held, 'its worker was restarted');
    end loop;
    return id;
end $$;

-- An attempt is over and was not asked to be: do what people wish, which is mostly to try again.
create function job_give_back(p_job_id bigint, p_reason text, p_after interval default '0') returns job
language plpgsql as $$
declare j job;
begin
    select * into strict j from job where job_id = p_job_id for update;
    if j.wish = 'cancel' then return job_move(p_job_id, 'cancelled', 'cancelled as asked'); end if;
    if j.wish = 'pause'  then return job_move(p_job_id, 'paused', 'paused as asked'); end if;
    update job set run_after = now() + p_after where job_id = p_job_id;
    return job_move(p_job_id, 'queued', p_reason);
end $$;

-- Leases that ran out: their jobs are up for grabs again.
create function job_sweep() returns int
language plpgsql as $$
declare
    late record;
    n int := 0;
begin
    for late in select j.job_id, w.name from job j join worker w using (worker_id)
                 where is_active(j.state) and j.leased_until < now()
                 order by j.job_id for update of j skip locked loop
        perform job_give_back(late.job_id, 'worker ' || late.name || ' was not heard of');
        n := n + 1;
    end loop;
    return n;
end $$;

-- The only way a job becomes leased. The first that may run goes to this worker; no row when none.
create function job_claim(p_worker_id bigint, p_lease interval) returns setof job
language plpgsql as $$
declare picked bigint;
begin
    perform event_lock();
    perform job_sweep();
    update worker set seen_at = now() where worker_id = p_worker_id;
    select q.job_id into picked
      from job q
     where q.state = 'queued' and q.subject <> '' and q.run_after <= now()
       and (q.data_job_id is null
            or (select d.state from job d where d.job_id = q.data_job_id) = 'succeeded')
       and (select not w.draining and q.backend = any (w.backends)
              from worker w where w.worker_id = p_worker_id)
     order by q.priority desc, q.job_id
     limit 1
       for update skip locked;
    if picked is null then return; end if;
    update job
       set attempt = attempt + 1, heartbeat_at = now(), error = null, result = null
     where job_id = picked;
    return next job_move(picked, 'starting', null, p_worker_id, p_lease);
end $$;

-- What lathe-train reads: the stored document with its places on this machine's disk.
create function job_document(j job, p_jobs_dir text, p_uploads_dir text) returns jsonb
language sql stable as $$
    select j.document
        || jsonb_build_object('schema', 'lathe.job/1', 'kind', j.kind, 'job_id', 'job_' || j.job_id,
                              'work_dir', p_jobs_dir || '/job_' || j.job_id)
        || case when j.data_job_id is null then '{}'
                else jsonb_build_object('data', jsonb_build_object(
                         'path', p_jobs_dir || '/job_' || j.data_job_id || '/result')) end
        || case when j.model_path is null then '{}'
                else jsonb_build_object('model', coalesce(j.document -> 'model', '{}')
                         || jsonb_build_object('path', p_jobs_dir || '/' || j.model_path)) end
        || case when j.document #> '{tokenizer,path}' is null then '{}'
                else jsonb_build_object('tokenizer', j.document -> 'tokenizer' || jsonb_build_object(
                         'path', p_uploads_dir || '/' || (j.document #>> '{tokenizer,path}'))) end
        || case when j.document -> 'files' is null then '{}'
                else jsonb_build_object('files', (
                         select jsonb_agg(file || jsonb_build_object(
                                    'path', p_uploads_dir || '/' || (file ->> 'path')) order by n)
                           from jsonb_array_elements(j.document -> 'files') with ordinality f (file, n)))
           end
$$;

-- Does this attempt still hold the lease? Locks the job if so.
create function job_held(p_job_id bigint, p_worker_id bigint, p_attempt int) returns boolean
language plpgsql as $$
begin
    perform from job
      where job_id = p_job_id and worker_id = p_worker_id and attempt = p_attempt and is_active(state)
        for update;
    return found;
end $$;

-- An attempt ended. How is what the exit status meant:
--   done       exit 0, after a done event
--   bad_input  exit 2: trying again will not help
--   again      exit 75, or we stopped it ourselves
--   crash      anything else; tried again with back-off until max_failures without progress
-- False when the attempt had lost its lease: nothing is changed then.
create function job_finish(p_job_id bigint, p_worker_id bigint, p_attempt int, p_how text, p_reason text)
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

-- A person wants a job to run, pause or be cancelled. Asking twice changes nothing.
create function job_ask(p_job_id bigint, p_wish text) returns void
language plpgsql as $$
declare j job;
begin
    perform event_lock();
    select * into j from job where job_id = p_job_id for update;
    if not found then raise exception 'there is no such job' using errcode = 'LT404'; end if;
    if j.state = 'cancelled' and p_wish = 'cancel' or j.state = 'paused' and p_wish = 'pause' then
        return;
    elsif is_over(j.state) and not (j.state = 'failed' and p_wish = 'run') then
        raise exception '% is % already', j.subject, j.state using errcode = 'LT409';
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
