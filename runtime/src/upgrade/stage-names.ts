/** The stages in their order. */
export const stageNames = [
  'preflight',
  'snapshot',
  'containerd',
  'repo',
  'master',
  'workers',
  'postflight',
] as const;

export type StageName = (typeof stageNames)[number];

export const isStageName = (text: string): text is StageName =>
  (stageNames as readonly string[]).includes(text);
