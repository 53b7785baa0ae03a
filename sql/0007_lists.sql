-- Architectures from elsewhere, lists and fronts over all of them, versions of resources, and creations
-- that happen once.

-- An architecture that no search made: its shape stands in its own row.
alter table architecture
    alter column search_id drop not null,
    add column name text,
    add column shape jsonb,
    add column context int,
    add constraint a_shape_stands_somewhere check ((search_id is null) = (shape is not null)),
    add constraint an_import_is_a_whole check (search_id is not null or ordinal = 0 and context is not null);

create index architecture_by_ratio_alone on architecture (ratio, architecture_id);
create index architecture_with_weights on architecture (architecture_id) where snapshot is not null;
create index search_by_source on search (source_hash, search_id);
create index search_of_model on search (model_id) where model_id is not null;

-- {name, shape, shape_hash, context, totals}
create function architecture_create(p jsonb) returns bigint
language sql as $$
    insert into architecture (name, shape, context, ordinal, step, tokens, params, params_non_embedding,
                              flops_per_token, kv_bytes_per_token, ratio, shape_hash)
    values (p ->> 'name', p -> 'shape', (p ->> 'context')::int, 0, 0, 0, (p #>> '{totals,params}')::bigint,
            (p #>> '{totals,params_non_embedding}')::bigint, (p #>> '{totals,flops_per_token}')::bigint,
            (p #>> '{totals,kv_bytes_per_token}')::bigint, 0, p ->> 'shape_hash')
    returning architecture_id
$$;

-- The lowest final validation loss that any run of this very shape reached on a data set (on any, when
-- null). The human arm of a comparison names the architecture too, but trains another shape.
create function architecture_losses(p_dataset_id bigint)
returns table (architecture_id bigint, loss double precision)
language sql stable as $$
    select r.architecture_id, min(j.validation_loss)
      from run r join job j using (job_id) join architecture a using (architecture_id)
     where j.state = 'succeeded' and j.validation_loss is not null and r.shape_hash = a.shape_hash
       and (p_dataset_id is null or r.dataset_id = p_dataset_id)
     group by r.architecture_id
$$;

-- Measured milliseconds. Whoever measures replaces this.
create function architecture_latencies()
returns table (architecture_id bigint, milliseconds double precision)
language sql stable as $$ select null::bigint, null::double precision where false $$;

-- What people decide by, for ETag and If-Match: it does not change with every step.
create function job_version(j job) returns text
language sql stable as $$ select j.state || '.' || j.attempt || '.' || j.wish $$;

-- As job_ask, if the job is still what somebody saw (p_seen null: whatever it is).
create function job_ask_seen(p_job_id bigint, p_wish text, p_seen text[]) returns void
language plpgsql as $$
declare j job;
begin
    perform event_lock();
    select * into j from job where job_id = p_job_id for update;
    if found and not coalesce(job_version(j) = any (p_seen) or '*' = any (p_seen), true) then
        raise exception '% is % now, it has changed since you looked', j.subject, j.state using errcode = 'LT412';
    end if;
    perform job_ask(p_job_id, p_wish);
end $$;

create function comparison_ask_seen(p_comparison_id bigint, p_wish text, p_seen text[]) returns void
language plpgsql as $$
declare c comparison;
begin
    perform event_lock();
    select * into c from comparison where comparison_id = p_comparison_id for update;
    if not coalesce(c.state::text = any (p_seen) or '*' = any (p_seen), true) then
        raise exception 'cmp_% is % now, it has changed since you looked', c.comparison_id, c.state
            using errcode = 'LT412';
    end if;
    perform comparison_ask(p_comparison_id, p_wish);
end $$;

-- {sha256, bytes}
create function upload_create(p jsonb) returns bigint
language sql as $$
    insert into upload (sha256, bytes) values (p ->> 'sha256', (p ->> 'bytes')::bigint) returning upload_id
$$;

-- A creation names its key: the key and what was made are one transaction, so a reply that was lost with
-- its server can be made again from the resource, and nothing is made twice.
alter table idempotency_key add column made text;

create function idempotency_made(p_id bigint, p_path text, p_who text, p_key text) returns bigint
language plpgsql as $$
begin
    if p_key is not null then
        update idempotency_key set made = p_path || p_id where who = p_who and key = p_key;
    end if;
    return p_id;
end $$;

-- As 0005, and 'made': the first request made what lies at `location`, and its reply was lost.
create or replace function idempotency_begin(p_who text, p_key text, p_fingerprint text)
returns table (verdict text, status int, content_type text, location text, body text)
language plpgsql as $$
#variable_conflict use_column
begin
    insert into idempotency_key as k (who, key, fingerprint) values (p_who, p_key, p_fingerprint)
    on conflict (who, key) do update
       set fingerprint = excluded.fingerprint, started_at = now(), status = null, content_type = null,
           location = null, body = null, made = null
     where k.started_at < now() - interval '1 day'
        or k.status is null and k.made is null and k.started_at < now() - interval '2 minutes';
    if found then
        return query select 'new', null::int, null, null, null;
        return;
    end if;
    return query
        select case when k.fingerprint <> p_fingerprint then 'differs'
                    when k.status is not null then 'done'
                    when k.made is not null then 'made' else 'flying' end,
               k.status, k.content_type, coalesce(k.location, k.made), k.body
          from idempotency_key k where k.who = p_who and k.key = p_key;
end $$;
