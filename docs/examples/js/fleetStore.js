// What a page knows of a fleet, whatever fetches it: subscribe, query, merge by version. No dependencies.
const STATE = 'deviceId version time readings';
const DEVICE = `deviceId name siteId state { ${STATE} }`;
const ON_STATE = `subscription { onDeviceState { ${STATE} } }`;
const ON_REMOVAL = 'subscription { onDeviceRemoval { deviceId version } }';
const CURSOR = 'query { deviceChanges(limit: 1) { cursor } }';
const CHANGES = `query Changes($since: String!, $token: String) {
  deviceChanges(since: $since, nextToken: $token, limit: 100) { items { deviceId device { ${DEVICE} } } nextToken cursor }
}`;
const LIST = `query List($token: String) {
  listDevices(nextToken: $token, limit: 100) { items { ${DEVICE} } nextToken }
}`;
const ONE = `query One($id: ID!) { getDeviceState(deviceId: $id) { ${STATE} } }`;

// `subscribe` and `getSnapshot` are what React's useSyncExternalStore wants; the snapshot is a new array after each change.
export function createFleetStore() {
  const known = new Map();
  const listeners = new Set();
  let snapshot = [];

  function put(device) {
    known.set(device.deviceId, device);
    snapshot = [...known.values()].filter((one) => !one.isRemoved).sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1));
    listeners.forEach((listener) => listener());
  }
  const view = (deviceId) => known.get(deviceId) ?? { deviceId, version: -1, readings: {}, isRemoved: false };

  return {
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    getSnapshot: () => snapshot,
    // What is not newer than what is known is dropped: events come twice, late, and from queries as well.
    mergeState({ deviceId, version, time, readings }) {
      const before = view(deviceId);
      if (version > before.version) {
        put({ ...before, version, time, readings: JSON.parse(readings), isRemoved: false });
      }
    },
    // A removal is a version too, so that an older event cannot bring the device back.
    mergeRemoval({ deviceId, version }) {
      const before = view(deviceId);
      if (version > before.version) put({ ...before, version, readings: {}, isRemoved: true });
    },
    mergeDevice({ deviceId, name, siteId, state }) {
      const before = view(deviceId);
      if (before.isRemoved && (state?.version ?? -1) <= before.version) return;
      put({ ...before, name, siteId });
      if (state) this.mergeState(state);
    },
    forget(deviceId) {
      if (known.has(deviceId)) put({ ...view(deviceId), readings: {}, isRemoved: true });
    },
  };
}

// `transport.query(document, variables)` resolves to data; `transport.subscribe(document, { next, live })` calls `live` each
// time the subscription begins, again after each reconnect, and returns a function that ends it.
export function followFleet(store, transport, onError = console.error) {
  let cursor = null;
  let catchingUp = Promise.resolve();

  async function pages(field, document, variables, take) {
    let token = null;
    let page;
    do {
      page = (await transport.query(document, { ...variables, token }))[field];
      page.items.forEach(take);
      token = page.nextToken;
    } while (token);
    return page;
  }

  async function catchUp() {
    if (cursor === null) {
      // The cursor comes first: what changes while the list is read is told the next time.
      cursor = (await transport.query(CURSOR, {})).deviceChanges.cursor;
    } else {
      const last = await pages('deviceChanges', CHANGES, { since: cursor }, ({ deviceId, device }) => {
        if (device === null) store.forget(deviceId);
        else store.mergeDevice(device);
      });
      cursor = last.cursor;
    }
    await pages('listDevices', LIST, {}, (device) => store.mergeDevice(device));
  }

  // Reading begins when the subscription is there, or an event between the two would be lost. One at a time.
  const live = () => {
    catchingUp = catchingUp.then(catchUp).catch(onError);
  };
  async function takeState(state) {
    if (state.readings !== null) return store.mergeState(state);
    // An event above 240 KB comes without its readings.
    const { getDeviceState } = await transport.query(ONE, { id: state.deviceId });
    return getDeviceState && store.mergeState(getDeviceState);
  }

  const ends = [
    transport.subscribe(ON_STATE, { next: (data) => takeState(data.onDeviceState).catch(onError), live }),
    transport.subscribe(ON_REMOVAL, { next: (data) => store.mergeRemoval(data.onDeviceRemoval), live }),
  ];
  return () => ends.forEach((end) => end());
}
