import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export const readDocument = (path: string): string => readFileSync(join(root, path), 'utf8');

export const runbookPath = 'docs/runbooks/k8s-version-upgrade.md';
export const agentPath = '.claude/agents/k8s-version-upgrade.md';
const inFolder = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`);

/** Every document of the project except the changelog, by its path. */
export const documents: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  'test/lab/README.md',
  agentPath,
  ...inFolder('docs'),
];

/** `shared`: with the others, in one cluster; `own`: in a separate cluster, which it changes. */
export type BlockLab = 'shared' | 'own';

export interface Block {
  /** The heading above it. */
  readonly section: string;
  readonly text: string;
  /** Marked with `<!-- lab -->` or `<!-- separate lab -->`: a test runs it. */
  readonly lab?: BlockLab;
  /** Why no test runs it, by `<!-- not in the lab: … -->`. */
  readonly notRun?: string;
}

/** The bash blocks of a document, in their order. */
export function bashBlocks(markdown: string): Block[] {
  const pattern =
    /^#+ (?<heading>.+)$|(?:^ *<!-- (?<mark>.+) -->\n)?^(?<indent> *)```bash\n(?<text>[\s\S]*?)^ *```$/gm;
  const blocks: Block[] = [];
  let section = '';
  for (const { groups = {} } of markdown.matchAll(pattern)) {
    if (groups.heading !== undefined) section = groups.heading;
    else blocks.push({ section, text: groups.text ?? '', ...meaningOf(groups.mark ?? '') });
  }
  return blocks;
}

function meaningOf(mark: string): Pick<Block, 'lab' | 'notRun'> {
  if (mark === 'lab') return { lab: 'shared' };
  if (mark === 'separate lab') return { lab: 'own' };
  const [, notRun] = /^not in the lab: (.+)$/.exec(mark) ?? [];
  return notRun === undefined ? {} : { notRun };
}

/** The blocks of code in one language, in their order. */
export const codeBlocks = (markdown: string, language: string): string[] =>
  [...markdown.matchAll(new RegExp(`^( *)\`\`\`${language}\\n([\\s\\S]*?)^ *\`\`\`$`, 'gm'))].map(
    ([, , text = '']) => text,
  );

/** Headings as GitHub and Forgejo make anchors of them. */
export function anchorsOf(markdown: string): string[] {
  const outsideCode = markdown.replace(/^ *```[\s\S]*?^ *```$/gm, '');
  return [...outsideCode.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replace(/ /g, '-'),
  );
}
