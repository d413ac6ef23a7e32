import { readFileSync } from 'node:fs';
import { InputError } from './errors.ts';

/**
 * Reads a secret from its file and trims it. No error contains its value.
 *
 * @param field the setting that names the file, for error messages.
 * @throws InputError when the file is missing, unreadable or empty.
 */
export function readSecret(field: string, path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new InputError(field, path, `a file that can be read (${(error as NodeJS.ErrnoException).code})`);
  }
  if (text === '') throw new InputError(field, path, 'a file that is not empty');
  return text;
}
