/** A word that is not the field's, and what to write in its place. */
export interface ForeignWord {
  readonly word: RegExp;
  readonly instead: string;
}

/** For documents and comments alike. Names that are contracts, such as the label `k8s-upgrade/leg`, stand in code spans. */
export const foreignWords: readonly ForeignWord[] = [
  { word: /\blegs?\b/i, instead: 'Job' },
  { word: /\blatch(es|ed)?\b/i, instead: 'in-flight annotation' },
  { word: /\b(un)?touched\b/i, instead: 'changed' },
  { word: /\buntaken\b/i, instead: 'unscheduled' },
  { word: /\btold\b/i, instead: 'reported' },
  { word: /\bmend(s|ed|ing)?\b/i, instead: 'fix' },
  { word: /\bgo(es|ing)? on\b/i, instead: 'continues, resumes' },
  { word: /\bbegun\b/i, instead: 'in progress (of a node), started' },
];

/** @returns each foreign word in a text, with its line and what to write in its place. */
export function foreignWordsIn(text: string): string[] {
  return text.split('\n').flatMap((line, index) =>
    foreignWords.flatMap(({ word, instead }) => {
      const found = word.exec(line)?.[0];
      return found === undefined ? [] : [`line ${index + 1}: "${found}"; write ${instead}: ${line.trim()}`];
    }),
  );
}

/** The prose of a document: code is blank, and lines keep their numbers. */
export function proseOf(markdown: string): string {
  const blank = (code: string) => code.replace(/[^\n]/g, ' ');
  return markdown.replace(/^ *```[\s\S]*?^ *```$/gm, blank).replace(/`[^`\n]*`/g, blank);
}
