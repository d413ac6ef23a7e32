/** Directory of the assembled scripts. */
export const assembledScripts: string;

/**
 * Writes each script of `from` to `to`, with its libraries inlined, and removes everything else there. Files
 * that are up to date are not written, as another process may be reading them.
 *
 * @throws when a library does not exist, or a script would still source a file; nothing is written then.
 */
export function assembleAll(from?: string, to?: string): void;
