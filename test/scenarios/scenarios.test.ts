import { describe, it } from 'vitest';
import { playToItsEnd, shortScenarios } from './end-states.ts';

describe('scenarios', () => {
  it.each(shortScenarios)('$name', playToItsEnd);
});
