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

/** What almost all messages say; found without splitting. */
const COMMON = new Map<string, ConnectionOptions>([
  ['keep-alive', { ...NONE, keepAlive: true }],
  ['Keep-Alive', { ...NONE, keepAlive: true }],
  ['close', { ...NONE, close: true }],
  ['upgrade', { ...NONE, upgrade: true }],
  ['Upgrade', { ...NONE, upgrade: true }],
])

export function parseConnection(value: string): ConnectionOptions {
  return value === '' ? NONE : (COMMON.get(value) ?? splitOptions(value))
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
