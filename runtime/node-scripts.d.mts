/** The folder of the assembled scripts. */
export const assembledScripts: string;

/**
 * Writes them all, each with its libraries in the places of the lines that source them. A file that is as it should be stays
 * unchanged: somebody may be reading it.
 *
 * @throws when a library is not there, or when anything would still be sourced; nothing is written then.
 */
export function assembleAll(from?: string, to?: string): void;
