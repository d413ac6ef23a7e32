import { describe, expect, it } from 'vitest';
import { parseFieldSelector, parseLabelSelector } from './selectors.ts';

describe('selectors', () => {
  it.each([
    ['', true],
    ['app=web', true],
    ['app==web,tier!=db', true],
    ['app in (api, web),!gone', true],
    ['app notin (api)', true],
    ['missing notin (x)', true],
    ['missing!=x', true],
    ['app', true],
    ['!app', false],
    ['app in (api)', false],
    ['missing in ()', false],
    ['example.com/x=', true],
  ])('label selector %j is %j', (text, expected) => {
    expect(parseLabelSelector(text)({ app: 'web', tier: 'front', 'example.com/x': '' })).toBe(expected);
  });

  it('refuses a selector that does not parse', () => {
    expect(() => parseLabelSelector('a in (b')).toThrow('unable to parse requirement');
    expect(() => parseFieldSelector('pods', 'spec.color=red')).toThrow(
      'field label not supported: spec.color',
    );
    expect(() => parseFieldSelector('pods', 'spec.nodeName')).toThrow("invalid selector: 'spec.nodeName'");
  });

  it('selects by fields; an absent field is the empty string', () => {
    const pod = { metadata: { name: 'a' }, spec: { nodeName: 'n1' }, status: { phase: 'Running' } };
    expect(parseFieldSelector('pods', 'spec.nodeName=n1,status.phase!=Failed')(pod)).toBe(true);
    expect(parseFieldSelector('pods', 'spec.nodeName=')(pod)).toBe(false);
    expect(parseFieldSelector('pods', 'status.podIP=')(pod)).toBe(true);
  });
});
