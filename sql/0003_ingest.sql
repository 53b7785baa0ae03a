-- How what a trainer says becomes rows. One batch of its lines is one transaction, and storing a
-- line twice changes nothing: steps and validations are known by their step, removals by their
-- ordinal, so a trainer that resumed from a checkpoint may say again what it said before.

-- The next row of a trajectory. Widths shrink by what the event names; a KV head takes its share
-- of query heads along. False when it is known already; a gap or a different removal is an error.
create function removal_store(p_search_id bigint, p_line jsonb) returns boolean
language plpgsql as $$
declare
    s search;
    n_ordinal constant int := (p_line ->> 'ordinal')::int;
    n_layer constant int := coalesce((p_line ->> 'layer')::int, -1);
    places constant int[] := array(select x::int from jsonb_array_elements_text(p_line -> 'position') x);
    per_layer int;
    n_params constant bigint := (p_line ->> 'params')::bigint;
    embedding bigint;
    known text;
begin
    select * into strict s from search where search_id = p_search_id for update;
    if n_ordinal <= s.removals then
        select shape_hash into known from architecture where search_id = p_search_id and ordinal = n_ordinal;
        if known <> p_line ->> 'shape_hash' then
            raise exception 'removal % was said before with shape %, now with %',
                n_ordinal, known, p_line ->> 'shape_hash' using errcode = 'LT400';
        end if;
        return false;
    elsif n_ordinal <> s.removals + 1 then
        raise exception 'removal % came after removal %', n_ordinal, s.removals using errcode = 'LT400';
    end if;

    per_layer := cardinality(places) / case when n_layer < 0 then cardinality(s.ffn) else 1 end;
    if p_line ->> 'type' = 'stem' then
        s.hidden := s.hidden - cardinality(places);
    else
        for l in 1 .. cardinality(s.ffn) loop
            continue when n_layer >= 0 and l <> n_layer + 1;
            if p_line ->> 'type' = 'ffn' then
                s.ffn[l] := s.ffn[l] - per_layer;
            else
                s.q_heads[l] := s.q_heads[l] - per_layer * (s.q_heads[l] / s.kv_heads[l]);
                s.kv_heads[l] := s.kv_heads[l] - per_layer;
            end if;
        end loop;
    end if;

    update search
       set removals = n_ordinal, hidden = s.hidden, q_heads = s.q_heads, kv_heads = s.kv_heads, ffn = s.ffn
     where search_id = p_search_id;
    update job set params = n_params where job_id = s.job_id;
    embedding := (s.source_shape ->> 'vocab_size')::bigint * s.hidden
        * case when (s.source_shape ->> 'tie_word_embeddings')::boolean then 1 else 2 end;
    insert into architecture (search_id, ordinal, step, tokens, type, layer, positions, indices,
            min_heads, min_ffn, min_stem, runner_up, params, params_non_embedding,
            flops_per_token, kv_bytes_per_token, ratio, shape_hash)
    select p_search_id, n_ordinal, (p_line ->> 'step')::bigint, (p_line ->> 'tokens')::bigint,
           p_line ->> 'type', n_layer, places,
           array(select x::int from jsonb_array_elements_text(p_line -> 'index') x),
           (p_line #>> '{min_score,heads}')::float8, (p_line #>> '{min_score,ffn}')::float8,
           (p_line #>> '{min_score,stem}')::float8, (p_line ->> 'runner_up')::float8,
           n_params, n_params - embedding,
           6.0 * n_params + 6.0 * (select sum(q) from unnest(s.q_heads) q) * s.head_dim * s.context,
           (select sum(kv) from unnest(s.kv_heads) kv) * s.head_dim * 4,
           1 - n_params::float8 / s.params_source, p_line ->> 'shape_hash';
    return true;
end $$;

create function step_store(p_job_id bigint, p_line jsonb) returns boolean
language plpgsql as $$
declare is_new boolean;
begin
    insert into metric (job_id, step, tokens, at, loss, learning_rate, grad_norm, tokens_per_second, params)
    values (p_job_id, (p_line ->> 'step')::bigint, (p_line ->> 'tokens')::bigint,
            coalesce((p_line ->> 'time')::timestamptz, now()), (p_line ->> 'loss')::float8,
            (p_line ->> 'lr')::float8, (p_line ->> 'grad_norm')::float8,
            (p_line ->> 'tokens_per_second')::float8, (p_line ->> 'params')::bigint)
    on conflict do nothing;
    is_new := found;
    update job
       set step = (p_line ->> 'step')::bigint, tokens = (p_line ->> 'tokens')::bigint,
           loss = (p_line ->> 'loss')::float8,
           tokens_per_second = (p_line ->> 'tokens_per_second')::float8,
           phase = p_line ->> 'phase', params = coalesce((p_line ->> 'params')::bigint, params)
     where job_id = p_job_id;
    return is_new;
end $$;

create function validation_store(p_job_id bigint, p_line jsonb) returns boolean
language plpgsql as $$
declare is_new boolean;
begin
    insert into validation (job_id, step, tokens, at, loss)
    values (p_job_id, (p_line ->> 'step')::bigint, (p_line ->> 'tokens')::bigint,
            coalesce((p_line ->> 'time')::timestamptz, now()), (p_line ->> 'loss')::float8)
    on conflict do nothing;
    is_new := found;
    update job set validation_loss = (p_line ->> 'loss')::float8 where job_id = p_job_id;
    return is_new;
end $$;

create function snapshot_store(p_search_id bigint, p_line jsonb) returns boolean
language plpgsql as $$
begin
    update architecture
       set snapshot = p_line ->> 'path', snapshot_sha256 = p_line ->> 'sha256'
     where search_id = p_search_id and ordinal = (p_line ->> 'ordinal')::int
       and (snapshot is null or snapshot <> p_line ->> 'path');
    return found;
end $$;

-- One line of a trainer. True when it was news, and so becomes an event.
create function line_store(j job, p_line jsonb) returns boolean
language plpgsql as $$
declare
    what constant text := p_line ->> 'event';
    id bigint;  -- of the search, for what only searches say
begin
    if j.kind = 'search' then
        id := substr(j.subject, 6)::bigint;
    end if;
    case what
    when 'heartbeat' then
        return false;
    when 'start' then
        update job
           set tokens_planned = (p_line ->> 'tokens_planned')::bigint,
               steps_planned = (p_line ->> 'steps_planned')::bigint,
               params = coalesce((p_line ->> 'params')::bigint, params)
         where job_id = j.job_id;
        if (select state from job where job_id = j.job_id) = 'starting' then
            perform job_move(j.job_id, 'running', null);
        end if;
        return true;
    when 'step' then return step_store(j.job_id, p_line);
    when 'validation' then return validation_store(j.job_id, p_line);
    when 'removal' then return id is not null and removal_store(id, p_line);
    when 'snapshot' then return id is not null and snapshot_store(id, p_line);
    when 'checkpoint' then
        update job set failures = 0 where job_id = j.job_id;
        return true;
    when 'progress' then
        update job
           set done_units = (p_line ->> 'done')::bigint, total_units = (p_line ->> 'total')::bigint,
               unit = p_line ->> 'unit'
         where job_id = j.job_id;
        return true;
    when 'done' then
        update job
           set result = p_line - 'event' - 'seq' - 'time',
               loss = coalesce((p_line ->> 'loss')::float8, loss),
               validation_loss = coalesce((p_line ->> 'validation_loss')::float8, validation_loss)
         where job_id = j.job_id;
        return true;
    when 'error' then
        update job set error = p_line - 'event' - 'seq' - 'time' where job_id = j.job_id;
        return true;
    else
        return true;  -- a newer trainer may say more; pass it on
    end case;
end $$;

-- Stores a batch for an attempt that still holds its lease, and renews the lease. `held` is false,
-- and nothing is stored, when it does not; `wish` says what people want of the job now.
create function job_ingest(p_job_id bigint, p_worker_id bigint, p_attempt int, p_lease interval,
                           p_lines jsonb, out held boolean, out wish text)
language plpgsql as $$
declare
    j job;
    line jsonb;
begin
    perform event_lock();
    held := job_held(p_job_id, p_worker_id, p_attempt);
    if not held then return; end if;
    update job set leased_until = now() + p_lease, heartbeat_at = now() where job_id = p_job_id
    returning * into j;
    wish := j.wish;
    for line in select * from jsonb_array_elements(p_lines) loop
        if line_store(j, line) then
            perform event_add(j.subject, line ->> 'event', line - 'event' - 'seq');
        end if;
    end loop;
end $$;
