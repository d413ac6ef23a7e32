import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export const readDocument = (path: string): string => readFileSync(join(root, path), 'utf8');

export interface Block {
  /** The heading above it. */
  readonly section: string;
  readonly text: string;
  /** Marked with `<!-- lab -->`: it works as it stands. */
  readonly runsInLab: boolean;
}

/** The bash blocks of a document, in their order. */
export function bashBlocks(markdown: string): Block[] {
  const pattern =
    /^#+ (?<heading>.+)$|(?<lab><!-- lab -->\n)?^(?<indent> *)```bash\n(?<text>[\s\S]*?)^ *```$/gm;
  const blocks: Block[] = [];
  let section = '';
  for (const { groups = {} } of markdown.matchAll(pattern)) {
    if (groups.heading !== undefined) section = groups.heading;
    else blocks.push({ section, text: groups.text ?? '', runsInLab: groups.lab !== undefined });
  }
  return blocks;
}

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
