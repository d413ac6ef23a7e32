/**
 * Finds which members have a doc comment, by area: members of exported interfaces, and the keys of settings.
 */
import { parseSync } from 'oxc-parser';

/** The smallest allowed proportion of an area's members with a doc comment. */
export const leastDocumented = 0.9;

/** A member belongs to the first area that matches its file. */
export const areas = [
  { name: 'constructs', files: /^constructs\// },
  { name: 'alerts', files: /^alerts\// },
  { name: 'settings', files: /^runtime\/src\/settings\// },
  { name: 'ports', files: /^runtime\/src\/(?!testing\/)/ },
];

/** The name of the file's area; undefined when it is in none, as tests are. */
export const areaOf = (file) =>
  file.endsWith('.test.ts') ? undefined : areas.find(({ files }) => files.test(file))?.name;

/**
 * The members of a file's exported interfaces, and the keys of its Zod objects.
 *
 * @throws Error when the file cannot be parsed.
 */
export function membersOf(file, text) {
  const { program, comments, errors } = parseSync(file, text);
  if (errors.length > 0) throw new Error(`${file}: ${errors[0].message}`);
  const docs = comments.filter(({ type, value }) => type === 'Block' && /^\*[\s\S]*[a-z]{2}/i.test(value));
  const isDocumented = ({ start }) =>
    docs.some(({ end }) => end <= start && text.slice(end, start).trim() === '');
  return [...walk(program)].flatMap(memberNodes).map(({ owner, node }) => ({
    name: [owner, node.key ? text.slice(node.key.start, node.key.end) : '(call)'].filter(Boolean).join('.'),
    start: node.start,
    documented: isDocumented(node),
  }));
}

function memberNodes(node) {
  if (node.type === 'ExportNamedDeclaration' && node.declaration?.type === 'TSInterfaceDeclaration') {
    const { id, body } = node.declaration;
    return body.body.map((member) => ({ owner: id.name, node: member }));
  }
  if (!isZodObject(node)) return [];
  return node.arguments[0].properties.map((property) => ({ node: property }));
}

/** Whether the node is `z.object({ … })`, `z.strictObject({ … })` or similar. */
function isZodObject({ type, callee, arguments: [first] = [] }) {
  return (
    type === 'CallExpression' &&
    callee.object?.name === 'z' &&
    /object$/i.test(callee.property.name) &&
    first?.type === 'ObjectExpression'
  );
}

/** A syntax node and all nodes within it. */
function* walk(node) {
  if (node === null || typeof node !== 'object') return;
  if (typeof node.type === 'string') yield node;
  for (const value of Object.values(node)) yield* walk(value);
}
