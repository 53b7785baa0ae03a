-- What people ask of a job, in every state; and how attempts end.
create function job_in(p_state job_state) returns bigint language plpgsql as $$
declare id bigint := job_add('dataset', '{}');
begin
    perform job_name(id, 'data_' || id);
    if is_active(p_state) or is_over(p_state) then
        perform job_claim(1, '1 minute');
        if p_state <> 'starting' then perform job_move(id, 'running', null); end if;
    end if;
    if p_state not in ('queued', 'starting', 'running') then perform job_move(id, p_state, 'because'); end if;
    return id;
end $$;
create function asked(p_state job_state, p_wish text) returns text language plpgsql as $$
declare id bigint; said text;
begin
    id := job_in(p_state);
    perform job_ask(id, p_wish);
    select state || ', wish ' || wish into said from job where job_id = id;
    update job set run_after = 'infinity' where job_id = id;  -- out of the way of the next
    return said;
exception when others then
    return sqlstate || ' ' || regexp_replace(sqlerrm, '[0-9]+', 'N');
end $$;
select worker_start('ada', 'here', 1, 1, '{cpu}') as ada;
select state, asked(state, 'cancel') as cancel, asked(state, 'pause') as pause, asked(state, 'run') as run
  from unnest(enum_range(null::job_state)) state;
select job_ask(999, 'cancel');

-- how an attempt ends, by exit status and wish
truncate job restart identity cascade;
create function ended(p_wish text, p_how text, p_lines jsonb) returns text language plpgsql as $$
declare id bigint := job_in('running'); said text;
begin
    perform job_ingest(id, 1, 1, '1 minute', p_lines);
    if p_wish <> 'run' then perform job_ask(id, p_wish); end if;
    perform job_finish(id, 1, 1, p_how, 'the trainer said so');
    select state || coalesce(': ' || reason, '') into said from job where job_id = id;
    update job set run_after = 'infinity' where job_id = id;
    return said;
end $$;
select how, wish, ended(wish, how, '[]') as silent,
       ended(wish, how, '[{"event": "done", "tokens": 7}]') as said_done,
       ended(wish, how, '[{"event": "error", "message": "no file", "hint": "look"}]') as said_error
  from unnest('{done,bad_input,again,crash}'::text[]) how, unnest('{run,pause,cancel}'::text[]) wish;

-- crashes back off and give up; progress forgives
select job_in('running') as job \gset
create function crash(id bigint) returns text language plpgsql as $$
declare j job;
begin
    select * into j from job where job_id = id;
    perform job_finish(id, 1, j.attempt, 'crash', 'signal 9');
    select * into j from job where job_id = id;
    if j.state <> 'queued' then return j.state || ': ' || j.reason; end if;
    perform job_move(id, 'starting', null, 1, '1 minute');
    return 'again after ' || extract(epoch from j.run_after - now()) || ' s, failures ' || j.failures;
end $$;
select crash(:job);
select crash(:job);
select * from job_ingest(:job, 1, 1, '1 minute', '[{"event": "checkpoint", "step": 1}]');
select crash(:job);
select crash(:job);
select crash(:job);
select crash(:job);
select job_ask(:job, 'run');
select state, failures from job where job_id = :job;

-- resumed before its trainer heard of the pause: it is stopped all the same, and queued again
truncate job restart identity cascade;
select job_in('running') as job \gset
select job_ask(:job, 'pause');
select job_ask(:job, 'run');
select state, wish from job where job_id = :job;
select * from job_ingest(:job, 1, 1, '1 minute', '[{"event": "heartbeat"}]');
select job_finish(:job, 1, 1, 'again', 'stopped');
select state, wish, reason from job where job_id = :job;

-- what is being cancelled cannot be paused or resumed
update job set run_after = 'infinity';
select job_in('running') as job \gset
select job_ask(:job, 'cancel');
select job_ask(:job, 'pause');
select job_ask(:job, 'run');
select job_ask(:job, 'cancel');
select * from job_ingest(:job, 1, 1, '1 minute', '[]');
select job_finish(:job, 1, 1, 'again', 'stopped');
select state, wish from job where job_id = :job;

-- nor is a job resumed whose data set will not come
create function after(p_state job_state) returns text language plpgsql as $$
declare
    data bigint := job_in('running');
    id bigint := job_add('search', '{}', p_data_job_id => data);
begin
    perform job_name(id, 'srch_' || id);
    perform job_ask(id, 'pause');
    perform job_move(data, p_state, 'because');
    perform job_ask(id, 'run');
    update job set run_after = 'infinity' where job_id = id;
    return (select state || ', wish ' || wish from job where job_id = id);
exception when sqlstate 'LT409' then
    return sqlerrm;
end $$;
select state, after(state) from unnest('{succeeded,failed,cancelled}'::job_state[]) state;
