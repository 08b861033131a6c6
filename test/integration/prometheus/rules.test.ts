import { promtool } from './programs';

const FILES = ['prometheus/recording.yml', 'prometheus/alerts.yml'];

test('the rules are what promtool takes for rules', () => {
  expect(promtool(['check', 'rules', ...FILES]).match(/\d+ rules found/g)).toEqual([
    '5 rules found',
    '6 rules found',
  ]);
});

test('the rules record and alert as rules.test.yml says', () => {
  promtool(['test', 'rules', 'test/integration/prometheus/rules.test.yml']);
});
