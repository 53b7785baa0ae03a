-- A key is new once; its reply is given again; another request with it is told apart.
select verdict from idempotency_begin('tok_0', 'k', 'print-a');
select verdict from idempotency_begin('tok_0', 'k', 'print-a');
select verdict from idempotency_begin('tok_0', 'k', 'print-b');
select verdict from idempotency_begin('tok_1', 'k', 'print-b');
update idempotency_key set status = 201, content_type = 'application/json', location = '/v1/x/1', body = '{}'
 where who = 'tok_0';
select * from idempotency_begin('tok_0', 'k', 'print-a');
-- A server that is there works on it; one that is gone does not.
select set_config('lathe.server', '7', false), pg_advisory_lock_shared(x'1a74e'::int, 7);
select verdict from idempotency_begin('tok_0', 'held', 'print');
select set_config('lathe.server', '8', false);
select verdict from idempotency_begin('tok_0', 'held', 'print');
select pg_advisory_unlock_shared(x'1a74e'::int, 7);
select verdict from idempotency_begin('tok_0', 'held', 'print');
-- What the first one still had on its way is refused; and nothing is made twice.
select set_config('lathe.server', '7', false);
select idempotency_made(1, '/v1/x/', 'tok_0', 'held');
select set_config('lathe.server', '8', false);
select idempotency_made(2, '/v1/x/', 'tok_0', 'held');
select idempotency_made(3, '/v1/x/', 'tok_0', 'held');
select verdict, location from idempotency_begin('tok_0', 'held', 'print');
select set_config('lathe.server', '', false);
-- A request that died with its server may be tried again after two minutes, a reply is kept for a day.
update idempotency_key set started_at = now() - interval '3 minutes';
select verdict from idempotency_begin('tok_0', 'k', 'print-a');
select verdict from idempotency_begin('tok_1', 'k', 'print-b');
update idempotency_key set started_at = now() - interval '25 hours' where who = 'tok_0';
select verdict from idempotency_begin('tok_0', 'k', 'print-c');

-- Tokens say when they change, and refuse nonsense.

insert into token (name, scope, sha256, created_by) values ('n', 'read', repeat('a', 64), 'tok_0');
update token set last_used_at = now();
update token set revoked_at = now();
insert into token (name, scope, sha256, created_by) values ('n', 'root', repeat('b', 64), 'tok_0');
insert into token (name, scope, sha256, created_by) values ('', 'read', repeat('b', 64), 'tok_0');
insert into token (name, scope, sha256, created_by) values ('n', 'read', 'secret', 'tok_0');
insert into token (name, scope, sha256, created_by) values ('n', 'read', repeat('a', 64), 'tok_0');
