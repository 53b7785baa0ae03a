// The list page as a Node.js service would do it: http and pg alone. Peer of http_bench.py.
const http = require('http'), crypto = require('crypto'), fs = require('fs'), path = require('path');
const pg = require('pg');
const [host, port, token] = process.argv.slice(2);
pg.types.setTypeParser(20, Number);
const pool = new pg.Pool({ host, user: 'lathe', database: 'postgres', max: 10 });
const sql = fs.readFileSync(path.join(__dirname, 'list.sql'), 'utf8');
const digest = text => crypto.createHash('sha256').update(text).digest();
const known = digest(token);

function item(row) {
    const { _key, params, params_non_embedding, flops_per_token, kv_bytes_per_token, context, ...rest } = row;
    return { ...rest, totals: { params, params_non_embedding, flops_per_token, kv_bytes_per_token, context } };
}

async function list(request, reply) {
    const sent = /^Bearer (.+)$/i.exec(request.headers.authorization || '');
    if (!sent || !crypto.timingSafeEqual(digest(sent[1]), known)) return reply.writeHead(401).end();
    const url = new URL(request.url, 'http://localhost');
    const size = Number(url.searchParams.get('page_size') || 50);
    const after = Number(url.searchParams.get('page_token') || 0);
    const { rows } = await pool.query({ name: 'list', text: sql, values: [after, size + 1] });
    const shown = rows.slice(0, size);
    const body = JSON.stringify({ items: shown.map(item),
                                  next_page_token: rows.length > size ? String(shown[size - 1]._key) : null });
    reply.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }).end(body);
}

http.createServer((request, reply) => list(request, reply).catch(e => reply.writeHead(500).end(String(e))))
    .listen(Number(port), '127.0.0.1');
