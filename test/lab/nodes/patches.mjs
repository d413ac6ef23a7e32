// Applies kubeadm's patches for one target to the YAML document on standard input.
//   patches.mjs DIRECTORY TARGET
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';

const [directory, target] = process.argv.slice(2);
const isMap = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const keyOf = (item) => ['name', 'mountPath', 'ip'].find((key) => isMap(item) && key in item);

/** A merge patch (RFC 7386). A strategic one also merges lists whose items have a name. */
function merge(value, patch, strategic) {
  if (Array.isArray(value) && Array.isArray(patch) && strategic && keyOf(patch[0])) {
    const key = keyOf(patch[0]);
    const added = patch.filter((one) => !value.some((old) => old[key] === one[key]));
    const merged = value.map((old) => {
      const change = patch.find((one) => one[key] === old[key]);
      return change === undefined ? old : merge(old, change, strategic);
    });
    return [...added, ...merged];
  }
  if (!isMap(patch)) return patch;
  const result = isMap(value) ? { ...value } : {};
  for (const [key, one] of Object.entries(patch)) {
    if (one === null) delete result[key];
    else result[key] = merge(result[key], one, strategic);
  }
  return result;
}

/** A JSON patch (RFC 6902), without move, copy and test. */
function change(document, operations) {
  for (const { op, path, value } of operations) {
    const steps = path.split('/').slice(1);
    const last = steps.pop();
    const parent = steps.reduce((at, step) => at[step], document);
    if (op === 'remove' && Array.isArray(parent)) parent.splice(Number(last), 1);
    else if (op === 'remove') delete parent[last];
    else if (op === 'add' && Array.isArray(parent))
      parent.splice(last === '-' ? parent.length : Number(last), 0, value);
    else parent[last] = value;
  }
  return document;
}

let document = parse(readFileSync(0, 'utf8'));
for (const file of readdirSync(directory).sort()) {
  const [, name, type = 'strategic'] =
    /^([a-z-]+?)\d*(?:\+(strategic|merge|json))?\.(?:yaml|json)$/.exec(file) ?? [];
  if (name !== target) continue;
  const patch = parse(readFileSync(join(directory, file), 'utf8'));
  document = type === 'json' ? change(document, patch) : merge(document, patch, type === 'strategic');
}
process.stdout.write(stringify(document));
