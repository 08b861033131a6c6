import { promtool } from '../../support/promtool';

const FILES = ['prometheus/recording.yml', 'prometheus/alerts.yml'];

test('promtool accepts the rules', () => {
  expect(promtool(['check', 'rules', ...FILES]).match(/\d+ rules found/g)).toEqual([
    '9 rules found',
    '8 rules found',
  ]);
});

test('the rules pass the tests of rules.test.yml', () => {
  promtool(['test', 'rules', 'test/integration/prometheus/rules.test.yml']);
});
