import com.cosylab.epics.caj.CAJContext;
import gov.aps.jca.CAException;
import gov.aps.jca.Channel;
import gov.aps.jca.JCALibrary;
import gov.aps.jca.Monitor;
import gov.aps.jca.configuration.DefaultConfiguration;
import gov.aps.jca.dbr.DBR;
import gov.aps.jca.dbr.DBRType;
import gov.aps.jca.event.ConnectionListener;
import gov.aps.jca.event.ContextExceptionEvent;
import gov.aps.jca.event.ContextExceptionListener;
import gov.aps.jca.event.ContextVirtualCircuitExceptionEvent;
import gov.aps.jca.event.MonitorListener;
import gov.aps.jca.event.PutListener;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Array;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/**
 * A Channel Access client that does what its standard input says and prints what comes back, one line each.
 *
 * Words of a line are separated by tabs: connect PV; type PV; get PV [DBR type]; monitor PV; text PV TEXT (as Phoebus
 * writes a text: an int for each char and a final 0); string PV TEXT; bytes PV TEXT; put PV NUMBER; end.
 * Puts are with callback and print the status and the milliseconds until the listener was told.
 *
 * Arguments: address list, maximum array bytes.
 */
public class Client {
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static final long PATIENCE_MS = 5000;

    private final CAJContext context;
    private final Map<String, Channel> channels = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        Client client = new Client(arguments[0], arguments[1]);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        say("ready");
        for (String line = lines.readLine(); line != null && !line.equals("end"); line = lines.readLine()) {
            try {
                client.obey(line.split("\t", -1));
            } catch (Exception problem) {
                say("problem\t" + problem);
            }
        }
        client.context.destroy();
        System.exit(0);
    }

    private Client(String addresses, String arrayBytes) throws CAException {
        DefaultConfiguration configuration = new DefaultConfiguration("context");
        configuration.setAttribute("class", JCALibrary.CHANNEL_ACCESS_JAVA);
        configuration.setAttribute("addr_list", addresses);
        configuration.setAttribute("auto_addr_list", "false");
        configuration.setAttribute("repeater_port", System.getenv("EPICS_CA_REPEATER_PORT"));
        configuration.setAttribute("server_port", System.getenv("EPICS_CA_SERVER_PORT"));
        configuration.setAttribute("max_array_bytes", arrayBytes);
        context = (CAJContext) JCALibrary.getInstance().createContext(configuration);
        context.addContextExceptionListener(new ContextExceptionListener() {
            public void contextException(ContextExceptionEvent event) {
                say("exception\t" + event.getMessage());
            }

            public void contextVirtualCircuitException(ContextVirtualCircuitExceptionEvent event) {
                say("circuit\t" + event.getStatus());
            }
        });
    }

    private static synchronized void say(String line) {
        OUT.println(line.replace("\n", "\\n"));
    }

    private void obey(String[] words) throws Exception {
        String name = words[1];
        switch (words[0]) {
            case "connect" -> channels.put(name, context.createChannel(name, (ConnectionListener) event ->
                say((event.isConnected() ? "connected\t" : "disconnected\t") + name)));
            case "type" -> say("type\t" + name + "\t" + channels.get(name).getFieldType().getName() + "\t"
                + channels.get(name).getElementCount() + "\t" + channels.get(name).getWriteAccess());
            case "get" -> get(name, words.length > 2 ? DBRType.forName(words[2]) : null);
            case "monitor" -> {
                Channel channel = channels.get(name);
                channel.addMonitor(timed(channel.getFieldType()), channel.getElementCount(),
                    Monitor.VALUE | Monitor.ALARM, (MonitorListener) event ->
                        say("update\t" + name + "\t" + text(event.getDBR())));
                context.flushIO();
            }
            case "text" -> {
                char[] chars = words[2].toCharArray();
                int[] codes = new int[chars.length + 1];
                for (int place = 0; place < chars.length; place++) {
                    codes[place] = chars[place];
                }
                told(name, listener -> channels.get(name).put(codes, listener));
            }
            case "string" -> told(name, listener -> channels.get(name).put(words[2], listener));
            case "put" -> told(name, listener -> channels.get(name).put(Double.parseDouble(words[2]), listener));
            case "bytes" -> told(name, listener ->
                channels.get(name).put(words[2].getBytes(StandardCharsets.UTF_8), listener));
            default -> say("problem\tno such word: " + words[0]);
        }
    }

    private interface Put {
        void begin(PutListener listener) throws CAException;
    }

    private void told(String name, Put put) throws CAException {
        long begun = System.nanoTime();
        put.begin(event -> say("put\t" + name + "\t" + event.getStatus().getName() + "\t"
            + (System.nanoTime() - begun) / 1_000_000));
        context.flushIO();
    }

    private void get(String name, DBRType type) throws CAException {
        Channel channel = channels.get(name);
        long begun = System.nanoTime();
        channel.get(type == null ? channel.getFieldType() : type, channel.getElementCount(), event ->
            say("got\t" + name + "\t" + event.getStatus().getName() + "\t" + text(event.getDBR()) + "\t"
                + (System.nanoTime() - begun) / 1_000_000));
        context.flushIO();
    }

    private static DBRType timed(DBRType type) {
        return DBRType.forValue(type.getValue() + 14);
    }

    private static String text(DBR dbr) {
        if (dbr == null) {
            return "";
        }
        Object value = dbr.getValue();
        if (value instanceof byte[]) {
            byte[] bytes = (byte[]) value;
            int length = 0;
            while (length < bytes.length && bytes[length] != 0) {
                length++;
            }
            return new String(bytes, 0, length, StandardCharsets.UTF_8);
        }
        StringBuilder shown = new StringBuilder();
        for (int place = 0; place < Array.getLength(value); place++) {
            shown.append(place == 0 ? "" : ",").append(Array.get(value, place));
        }
        return shown.toString();
    }
}
