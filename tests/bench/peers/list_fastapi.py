"""The list page as a FastAPI service would do it, with asyncpg and one uvicorn worker. Peer of http_bench.py."""
import hashlib, hmac, os, pathlib, sys
import asyncpg, uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

HOST, PORT, TOKEN = sys.argv[1:4]
SQL = pathlib.Path(__file__).with_name("list.sql").read_text()
KNOWN = hashlib.sha256(TOKEN.encode()).digest()
TOTALS = ("params", "params_non_embedding", "flops_per_token", "kv_bytes_per_token", "context")
app = FastAPI()


@app.on_event("startup")
async def start():
    app.state.pool = await asyncpg.create_pool(host=HOST, user="lathe", database="postgres", min_size=10, max_size=10)


def item(row):
    out = {k: v for k, v in row.items() if k not in TOTALS and k != "_key"}
    out["totals"] = {k: row[k] for k in TOTALS}
    return out


@app.get("/v1/architectures")
async def architectures(request: Request, page_size: int = 50, page_token: int = 0):
    sent = request.headers.get("authorization", "")
    if not hmac.compare_digest(hashlib.sha256(sent[7:].encode()).digest(), KNOWN):
        return JSONResponse({}, 401)
    rows = await app.state.pool.fetch(SQL, page_token, page_size + 1)
    shown = rows[:page_size]
    return JSONResponse({"items": [item(r) for r in shown],
                         "next_page_token": str(shown[-1]["_key"]) if len(rows) > page_size else None})


uvicorn.run(app, host="127.0.0.1", port=int(PORT), workers=1, access_log=False, log_level="warning")
