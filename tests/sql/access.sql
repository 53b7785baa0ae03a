-- A key is new once; its reply is given again; another request with it is told apart.
select verdict from idempotency_begin('tok_0', 'k', 'print-a');
select verdict from idempotency_begin('tok_0', 'k', 'print-a');
select verdict from idempotency_begin('tok_0', 'k', 'print-b');
select verdict from idempotency_begin('tok_1', 'k', 'print-b');
update idempotency_key set status = 201, content_type = 'application/json', location = '/v1/x/1', body = '{}'
 where who = 'tok_0';
select * from idempotency_begin('tok_0', 'k', 'print-a');
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
