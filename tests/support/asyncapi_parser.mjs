// Checks documents with AsyncAPI's own parser: node asyncapi_parser.mjs FOLDER FILE...; one JSON line a document.
// FOLDER holds node_modules.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [folder, ...files] = process.argv.slice(2);
const { Parser } = createRequire(join(resolve(folder), "package.json"))("@asyncapi/parser");
for (const file of files) {
  const { document, diagnostics } = await new Parser().parse(readFileSync(file, "utf8"));
  console.log(
    JSON.stringify({
      valid: document !== undefined,
      channels: document ? document.channels().all().length : 0,
      operations: document ? document.operations().all().length : 0,
      findings: diagnostics.map((one) => ({ severity: one.severity, code: one.code, path: one.path.join("/"), text: one.message })),
    }),
  );
}
