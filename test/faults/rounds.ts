/** The factor of rounds at random moments: FAULTS_LONG=1 runs ten times as many. */
export const ROUNDS = process.env['FAULTS_LONG'] === undefined ? 1 : 10;

/** Returns a generator of numbers from 0 to 1 (Knuth's). The same seed gives the same numbers. */
export function randomNumbers(seed: number): () => number {
  let state = BigInt(seed);
  return () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) % 2n ** 64n;
    return Number(state >> 11n) / 2 ** 53;
  };
}
