import { describe, it } from 'vitest';
import { longScenarios, playToItsEnd } from './end-states.ts';

describe('scenarios', () => {
  it.each(longScenarios)('$name', playToItsEnd);
});
