/** The Connection field (RFC 9110 §7.6.1): options of this hop, and names of fields that end here. */
export interface ConnectionOptions {
  readonly close: boolean
  readonly keepAlive: boolean
  readonly upgrade: boolean
  /** Further names, in lower case: fields of these names are not forwarded. */
  readonly named: ReadonlySet<string>
}

const NO_NAMES: ReadonlySet<string> = new Set()
const NONE: ConnectionOptions = { close: false, keepAlive: false, upgrade: false, named: NO_NAMES }

const KEEP_ALIVE: ConnectionOptions = { ...NONE, keepAlive: true }
const CLOSE: ConnectionOptions = { ...NONE, close: true }
const UPGRADE: ConnectionOptions = { ...NONE, upgrade: true }

/**
 * What almost all messages say is found without splitting them, and without a map, which would internalize each text
 * (0.6 % of a call).
 */
export function parseConnection(value: string): ConnectionOptions {
  switch (value) {
    case '':
      return NONE
    case 'keep-alive':
    case 'Keep-Alive':
      return KEEP_ALIVE
    case 'close':
      return CLOSE
    case 'upgrade':
    case 'Upgrade':
      return UPGRADE
    default:
      return splitOptions(value)
  }
}

function splitOptions(value: string): ConnectionOptions {
  const options = new Set(
    value
      .toLowerCase()
      .split(',')
      // Not trim(), to which a hard blank is a blank, as it is to no other reader of a field.
      .map(option => option.replace(/^[ \t]+|[ \t]+$/g, '')),
  )
  const named = new Set(options)
  for (const own of ['', 'close', 'keep-alive', 'upgrade', 'te']) named.delete(own)
  const close = options.has('close')
  return {
    close,
    // RFC 9112 §9.3: `close` is looked at first.
    keepAlive: options.has('keep-alive') && !close,
    upgrade: options.has('upgrade'),
    named,
  }
}
