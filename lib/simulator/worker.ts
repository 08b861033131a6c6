import { parentPort, workerData } from 'node:worker_threads';
import { Simulation, type SimulationOptions } from './simulation';

/*
 * The thread of a simulated host: it has an event loop of its own, because the calls of this package
 * wait for xenstored without letting the caller's event loop run.
 */

/** What can be asked of the thread: the methods of the simulation. */
export type Command = keyof Simulation;

/** A question to the thread. */
export interface Question {
  readonly id: number;
  readonly command: Command;
  readonly args: readonly unknown[];
}

/** Its answer. */
export interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string; readonly code: unknown };
}

const simulation = new Simulation(workerData as SimulationOptions);

async function answer({ id, command, args }: Question): Promise<Answer> {
  try {
    // the command's type is checked where it is sent
    const method = Reflect.get(simulation, command) as (...args: unknown[]) => unknown;
    return { id, result: await method.apply(simulation, [...args]) };
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    return { id, error: { message, code } };
  }
}

parentPort?.on('message', (question: Question) => {
  void answer(question).then((reply) => {
    parentPort?.postMessage(reply);
  });
});
