import { Clock } from '../../../lib/cli/rates/clock';

describe('the clock of samples', () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  test('keeps its schedule when a sample is late', () => {
    const clock = new Clock(1000);
    jest.advanceTimersByTime(1300);
    expect(clock.remainingMs()).toBe(0);
    clock.advance();
    expect(clock.remainingMs()).toBe(700);
  });

  test('skips the samples that were missed while the process was stopped', () => {
    const clock = new Clock(1000);
    jest.advanceTimersByTime(5300);
    clock.advance();
    expect(clock.remainingMs()).toBe(1000);
  });

  test('counts another interval from the last sample', () => {
    const clock = new Clock(1000);
    jest.advanceTimersByTime(400);
    clock.intervalMs = 2000;
    expect(clock.remainingMs()).toBe(1600);
    clock.intervalMs = 200;
    expect(clock.remainingMs()).toBe(0);
  });
});
