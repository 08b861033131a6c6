import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { Simulation, type SimulationOptions } from './simulation';

/*
 * The worker thread of a simulated host. It needs an event loop of its own: a synchronous call of this
 * package blocks the caller's event loop while it waits for xenstored.
 */

/** A method of the simulation. */
export type Command = keyof Simulation;

/** A method call, sent to the worker. */
export interface Call {
  readonly command: Command;
  readonly args: readonly unknown[];
  /** Gets the result. */
  readonly port: MessagePort;
}

/** The result of a call. */
export interface Result {
  readonly value?: unknown;
  readonly error?: { readonly message: string; readonly code: unknown };
}

const simulation = new Simulation(workerData as SimulationOptions);

async function execute({ command, args }: Call): Promise<Result> {
  try {
    const method = Reflect.get(simulation, command) as (...args: unknown[]) => unknown;
    return { value: await method.apply(simulation, [...args]) };
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    return { error: { message, code } };
  }
}

parentPort?.on('message', (call: Call) => {
  void execute(call).then((result) => {
    call.port.postMessage(result);
  });
});
