// One tick of TorchServe's system metrics, for tests: what its frontend does with system_metrics_cmd, written from the
// contract and nothing else. Prints what it took and what it refused.
//
//   java TorchServeTick.java CONFIG_PROPERTIES PYTHON WORKING_DIRECTORY PID,PID...
import java.io.BufferedReader;
import java.io.File;
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public class TorchServeTick {
  private static final Pattern LINE = Pattern.compile(
      "\\s*([\\w\\s]+)\\.([\\w\\s]+):([0-9\\-,.e]+)\\|#([^|]*)(\\|#type:([^|,]+))?\\|#hostname:([^,]+),([^,]+)(,(.*))?");

  public static void main(String[] words) throws Exception {
    Properties properties = new Properties();
    try (InputStream file = new FileInputStream(words[0])) {
      properties.load(file);
    }
    List<String> command = new ArrayList<>();
    command.add(words[1]);
    command.addAll(Arrays.asList(properties.getProperty("system_metrics_cmd").split("\\s+")));
    Process process = Runtime.getRuntime().exec(command.toArray(new String[0]), null, new File(words[2]));
    try (OutputStream in = process.getOutputStream()) {
      in.write((words[3] + "\n").getBytes(StandardCharsets.UTF_8));
    }
    StringBuilder said = new StringBuilder();
    Thread drain = new Thread(() -> {
      try (BufferedReader error = new BufferedReader(new InputStreamReader(process.getErrorStream()))) {
        for (String line; (line = error.readLine()) != null; ) said.append(line).append('\n');
      } catch (Exception e) {
        said.append(e);
      }
    });
    drain.start();

    Set<Integer> known = new HashSet<>();
    for (String pid : words[3].split(",")) if (!pid.isEmpty()) known.add(Integer.valueOf(pid));
    boolean ended = false;
    try (BufferedReader out = new BufferedReader(new InputStreamReader(process.getInputStream()))) {
      for (String line; (line = out.readLine()) != null; ) {
        if (line.isEmpty()) {
          ended = true;
          break;
        }
        Matcher matcher = LINE.matcher(line);
        if (!matcher.matches()) {
          System.out.println("refused " + line);
          continue;
        }
        StringBuilder values = new StringBuilder();
        for (String pair : matcher.group(4).split(",")) {
          String[] halves = pair.split(":");
          if (halves.length == 2) values.append(' ').append(halves[1]);
        }
        System.out.println("gauge " + matcher.group(1) + " " + matcher.group(2) + " "
            + Double.parseDouble(matcher.group(3)) + values + " at " + Long.parseLong(matcher.group(8)));
      }
      for (String line; (line = out.readLine()) != null; ) {
        String[] tokens = line.split(":");
        if (tokens.length != 2) continue;
        // An id that is none ends the schedule of the real one: here the program.
        Integer pid = Integer.valueOf(tokens[0]);
        long bytes = Long.parseLong(tokens[1]);
        if (!known.contains(pid)) throw new IllegalStateException("no worker " + pid);
        System.out.println("worker " + pid + " " + bytes);
      }
    }
    drain.join();
    if (!ended) System.out.println("refused: no empty line");
    if (said.length() > 0) System.out.println("error " + said.toString().replace('\n', ' '));
  }
}
