/**
 * Words that this project does not use in code, comments, strings, names and documents, and what to say
 * instead. Matched as whole words and as parts of camelCase and snake_case names, except within a match of
 * `except`.
 */
export const words = [
  {
    never: ['leg', 'legs'],
    say: 'Job',
    // The label, the flag with its variable, and the JSON key are contracts and stay.
    except: [/k8s-upgrade\/leg\b/, /--leg\b/, /\bleg\?: string\b/, /\boptions\.leg\b/, /\{ leg:/],
  },
  // The name of an alert stays, too.
  {
    never: ['latch', 'latched', 'latches'],
    say: 'in-flight annotation',
    except: [/K8sUpgradeLatchWithoutRun/],
  },
  // So does the annotation on a node, which tests also name without its prefix.
  {
    never: ['touched', 'untouched'],
    say: 'changed',
    except: [/k8s-upgrade-touched\b/, /\bannotate touched\b/],
  },
  { never: ['untaken'], say: 'unscheduled' },
  { never: ['told'], say: 'reported' },
  { never: ['mend', 'mends', 'mended'], say: 'fix, repair' },
  { never: ['goes on', 'go on', 'going on'], say: 'continues, resumes' },
  { never: ['begun'], say: 'in progress; started' },
  { never: ['to be had'], say: 'not available, not offered' },
  { never: ['vigil'], say: 'LeaseObserver' },
  { never: ['anew', 'all the same', 'for ever'], say: 'again; nevertheless; forever' },
  { never: ['half way'], say: 'halfway; in progress, unfinished' },
  // The key in what `status --json` prints stays.
  { never: ['at work'], say: 'running, in progress', except: [/\batWork\b/] },
];

/** Files that are about the words themselves. */
export const aboutWords = /^scripts\/(words\.mjs|comments\.test\.ts)$/;
