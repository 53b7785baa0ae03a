-- Who may ask, what was asked before, and who changed what.

-- A bearer token. Only its SHA-256 is kept; its text is shown once, when it is made. The token in
-- the data directory, tok_0, is not here.
create table token (
    token_id     bigint generated always as identity primary key,
    name         text not null,
    scope        text not null,
    sha256       text not null unique,
    created_by   text not null,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    constraint token_name_has_1_to_60_bytes check (octet_length(name) between 1 and 60),
    constraint scope_is_known check (scope in ('read', 'write', 'admin')),
    constraint sha256_is_a_digest check (sha256 ~ '^[0-9a-f]{64}$')
);

create function token_changed() returns trigger
language plpgsql as $$ begin perform pg_notify('lathe_token', ''); return null; end $$;
create trigger token_changed after insert or delete or update of scope, expires_at, revoked_at on token
    for each statement execute function token_changed();

-- The first reply to a POST that had an Idempotency-Key, for a day. `status` is null while the
-- first request is still being worked on.
create table idempotency_key (
    who          text not null, -- the token's id
    key          text not null,
    fingerprint  text not null, -- SHA-256 of method, target and body
    started_at   timestamptz not null default now(),
    status       int,
    content_type text,
    location     text,
    body         text,
    primary key (who, key)
);
create index idempotency_key_by_age on idempotency_key (started_at);

-- What a request with this key is: 'new' (work on it), 'done' (here is the reply), 'differs' (the
-- key was used for another request) or 'flying' (the first one is not answered yet; one that got
-- no answer within two minutes died with its server and may be tried again).
create function idempotency_begin(p_who text, p_key text, p_fingerprint text)
returns table (verdict text, status int, content_type text, location text, body text)
language plpgsql as $$
#variable_conflict use_column
begin
    insert into idempotency_key as k (who, key, fingerprint) values (p_who, p_key, p_fingerprint)
    on conflict (who, key) do update
       set fingerprint = excluded.fingerprint, started_at = now(), status = null, content_type = null,
           location = null, body = null
     where k.started_at < now() - interval '1 day'
        or k.status is null and k.started_at < now() - interval '2 minutes';
    if found then
        return query select 'new', null::int, null, null, null;
        return;
    end if;
    return query
        select case when k.fingerprint <> p_fingerprint then 'differs'
                    when k.status is null then 'flying' else 'done' end,
               k.status, k.content_type, k.location, k.body
          from idempotency_key k where k.who = p_who and k.key = p_key;
end $$;

-- Every request that may have changed something, for whoever has to explain it later.
create table audit (
    audit_id   bigint generated always as identity primary key,
    at         timestamptz not null default now(),
    who        text not null,
    method     text not null,
    path       text not null,
    status     int not null,
    request_id text not null
);
create index audit_by_time on audit (at);
