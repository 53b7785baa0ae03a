"""What /v1/openapi.json promises, held against every reply that a test gets."""
import copy, json, re

try:
    import jsonschema
except ImportError:  # Debian: python3-jsonschema
    jsonschema = None

METHODS = ("get", "post", "put", "patch", "delete")


def strict(node):
    """Here a reply may have no member that is not described; out there fields may be added."""
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node:
            node.setdefault("additionalProperties", False)
        for key, value in node.items():
            if key not in ("example", "enum", "const"):
                strict(value)
    elif isinstance(node, list):
        for value in node:
            strict(value)
    return node


class Contract:
    def __init__(self, document):
        self.document = document
        self.strict = strict(copy.deepcopy(document))
        self.seen = set()  # (operationId, status)
        self.validators = {}
        self.routes = []
        for path, item in document["paths"].items():
            pattern = re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)) + "$")
            self.routes += [(pattern, m.upper(), path, op) for m, op in item.items() if m in METHODS]
        self.routes.sort(key=lambda r: r[2].count("{"))  # plain text wins over a name

    @property
    def operations(self):
        return {op["operationId"]: (method, path, op) for _, method, path, op in self.routes}

    def find(self, method, target):
        path = target.split("?")[0]
        for pattern, verb, template, op in self.routes:
            if verb == method and pattern.match(path):
                return template, op
        return None, None

    def schema_of(self, template, method, status, kind):
        item = self.strict["paths"][template][method.lower()]["responses"]
        assert str(status) in item, f"{method} {template} answers {status}, which is not described"
        reply = item[str(status)]
        if "$ref" in reply:
            reply = self.strict["components"]["responses"][reply["$ref"].rsplit("/", 1)[1]]
        content = reply.get("content", {})
        assert kind in content or not content and not kind, f"{method} {template} answers {status} as {kind}, not {list(content)}"
        return content.get(kind, {}).get("schema")

    def validator(self, template, method, status, kind):
        key = template, method, status, kind
        if key not in self.validators:
            schema = self.schema_of(*key)
            whole = {**(schema or {}), "components": self.strict["components"]}
            self.validators[key] = jsonschema.Draft202012Validator(whole) if schema and jsonschema else None
        return self.validators[key]

    def check(self, method, target, reply):
        template, op = self.find(method, target)
        if not op:
            return
        self.seen.add((op["operationId"], reply.status))
        kind = (reply.headers.get("Content-Type") or "").split(";")[0]
        validator = self.validator(template, method, reply.status, kind)
        if validator is None or "json" not in kind or "ndjson" in kind:
            return
        for error in validator.iter_errors(json.loads(reply.body)):
            where = "/".join(map(str, error.absolute_path))
            raise AssertionError(f"{method} {target} {reply.status}: {where}: {error.message[:300]}")
