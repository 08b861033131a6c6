/** How much is tried: FAULTS_LONG=1 tries ten times as much. */
export const ROUNDS = process.env['FAULTS_LONG'] === undefined ? 1 : 10;

/** Numbers from 0 to 1 that look random, and are the same again from the same seed: Knuth's generator. */
export function randomNumbers(seed: number): () => number {
  let state = BigInt(seed);
  return () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) % 2n ** 64n;
    return Number(state >> 11n) / 2 ** 53;
  };
}
