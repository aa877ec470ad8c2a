/** Signals of the operating system as plain calls. */

export interface SignalHandlers {
  /** SIGTERM and SIGINT: end in good order. */
  readonly stop: (signal: NodeJS.Signals) => void
  /** SIGHUP: read the configuration again. Without it SIGHUP is ignored instead of ending the process. */
  readonly reload?: () => void
  /** SIGUSR1: files of logs were moved away. Without it SIGUSR1 is ignored instead of opening Node's debugger. */
  readonly reopenLogs?: () => void
  /** SIGUSR2: hand over to a new version. Left out, the signal ends the process. */
  readonly upgrade?: () => void
}

/** Listens until the returned function is called. A handler may be called any number of times. */
export function onSignals({
  stop,
  reload = ignore,
  reopenLogs = ignore,
  upgrade,
}: SignalHandlers): () => void {
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  process.on('SIGHUP', reload)
  process.on('SIGUSR1', reopenLogs)
  if (upgrade !== undefined) process.on('SIGUSR2', upgrade)
  return () => {
    process.off('SIGTERM', stop)
    process.off('SIGINT', stop)
    process.off('SIGHUP', reload)
    process.off('SIGUSR1', reopenLogs)
    if (upgrade !== undefined) process.off('SIGUSR2', upgrade)
  }
}

/**
 * For child processes that are told over a channel what to do. A terminal (Ctrl-C) and most service managers signal the
 * whole process group, and a worker that ended by that would cut the very calls that the primary wants to drain.
 */
export function ignoreSignals(): void {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const)
    process.on(signal, ignore)
}

function ignore(): void {}
