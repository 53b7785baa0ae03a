-- Who works on a request with an Idempotency-Key is known, and whether it is still there: every
-- session of a lathed names its process in lathe.server and holds that number as an advisory lock
-- (server/pg/pg_session.h). A key whose server is gone, or whose PostgreSQL was restarted under it, is
-- free at once. The two minutes of 0005 stay for a server that lost its network and that PostgreSQL
-- still waits for.
alter table idempotency_key add column server int;

create function this_server() returns int
language sql stable as $$ select nullif(current_setting('lathe.server', true), '')::int $$;

create function server_is_gone(p_server int) returns boolean
language sql volatile as $$
    select p_server is not null and not exists (
        select from pg_locks
         where locktype = 'advisory' and objsubid = 2 and classid = x'1a74e'::int::oid and objid = p_server::oid
           and database = (select oid from pg_database where datname = current_database()))
$$;

-- As 0007, and once: what was begun before another server took over the key, or before the same one did,
-- and comes late is refused.
create or replace function idempotency_made(p_id bigint, p_path text, p_who text, p_key text) returns bigint
language plpgsql as $$
begin
    if p_key is not null then
        update idempotency_key set made = p_path || p_id
         where who = p_who and key = p_key and made is null
           and server is not distinct from this_server();
        if not found then
            raise exception 'another request with this Idempotency-Key came first; ask again'
                using errcode = 'serialization_failure';
        end if;
    end if;
    return p_id;
end $$;

-- As 0007, but for what is free at once.
create or replace function idempotency_begin(p_who text, p_key text, p_fingerprint text)
returns table (verdict text, status int, content_type text, location text, body text)
language plpgsql as $$
#variable_conflict use_column
begin
    insert into idempotency_key as k (who, key, fingerprint, server)
    values (p_who, p_key, p_fingerprint, this_server())
    on conflict (who, key) do update
       set fingerprint = excluded.fingerprint, started_at = now(), server = excluded.server, status = null,
           content_type = null, location = null, body = null, made = null
     where k.started_at < now() - interval '1 day'
        or k.status is null and k.made is null
           and (k.started_at < greatest(now() - interval '2 minutes', pg_postmaster_start_time())
                or server_is_gone(k.server));
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
